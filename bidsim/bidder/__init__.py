"""What bidders know, and how they decide: nothing here can see the truth about users."""
