"""Gradient-boosted trees by LightGBM (Ke et al., NeurIPS 2017), scored by our own compiled tables."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bidsim.core.contracts import CvrModel
from bidsim.core.errors import BidsimError, ModelError
from bidsim.core.scoring import ScorerTables
from bidsim.core.settings import Number, Settings
from bidsim.cvr.binning import COUNT, SCORER
from bidsim.cvr.ensemble import plain_text
from bidsim.cvr.features import FEATURES, WIDTH, categorical_indices
from bidsim.cvr.files import text_of
from bidsim.cvr.masks import LINKS, with_campaigns
from bidsim.cvr.reading import check_levels
from bidsim.cvr.stored import compiled_model
from bidsim.cvr.training import FittedModel, LoggedRows, downsampling_offset
from bidsim.cvr.trees import compile_trees, describe, score_trees

MODEL_FILE = "model.txt"


class LightgbmParams(Settings):
    """How the trees are grown, or where trained ones are."""

    trees: Annotated[int, Field(ge=1, le=5000)] = 100
    """Number of trees."""
    leaves: Annotated[int, Field(ge=2, le=255)] = 31
    """Leaves per tree."""
    learning_rate: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.08
    """Shrinkage of each tree."""
    min_rows: Annotated[int, Field(ge=1)] = 200
    """Fewest rows in a leaf."""
    objective: Literal["binary", "regression"] = "binary"
    """What is minimised: log-loss, or squared error, whose predictions are rates as they are."""
    ignore: list[str] = []
    """Features that the model may not use."""
    path: str | None = None
    """Folder of a trained model, such as ``runs/x/model/main``; then nothing is trained."""


class Lightgbm(CvrModel):
    """A LightGBM model, trained on the logged history."""

    Params = LightgbmParams
    score = score_trees

    @staticmethod
    def fit(params: LightgbmParams, rows: LoggedRows, vocabulary: dict[str, tuple[str, ...]], seed: int) -> FittedModel:
        """Train on logged rows.

        Raises:
            BidsimError: LightGBM's shared library cannot be loaded, or the rows hold no conversions.

        """
        lightgbm = _import_lightgbm()
        features = rows.features.copy()
        features[:, [FEATURES.index(name) for name in params.ignore]] = 0.0
        binary = params.objective == "binary"
        # log-odds can be mended after thinning the negatives, plain rates need the weights
        weight = None if binary else rows.weight
        data = lightgbm.Dataset(
            features, rows.label, weight=weight, categorical_feature=categorical_indices(), free_raw_data=True
        )
        settings = {
            "objective": params.objective,
            "num_leaves": params.leaves,
            "learning_rate": float(params.learning_rate),
            "min_data_in_leaf": params.min_rows,
            "cat_smooth": 50,
            "feature_fraction": 0.8,
            "lambda_l2": 1.0,
            "seed": seed % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        text = lightgbm.train(settings, data, num_boost_round=params.trees).model_to_string()
        return Lightgbm.from_text(text, downsampling_offset(rows.keep) if binary else 0.0, vocabulary)

    @staticmethod
    def prepared(tables: ScorerTables, static: NDArray[np.float32]) -> ScorerTables:
        """Look the campaigns' own features up once for the run."""
        return with_campaigns(tables, static)

    @staticmethod
    def reads_whole_rows(tables: ScorerTables) -> bool:
        """Masks know the campaigns, and take the request from the first row."""
        return bool(tables.ints[SCORER] == LINKS)

    @staticmethod
    def describe(tables: ScorerTables) -> str:
        """Say which compiled form was chosen, and its size."""
        return describe(tables)

    @staticmethod
    def trees(tables: ScorerTables) -> int:
        """Number of trees of the model."""
        return int(tables.ints[COUNT])

    @staticmethod
    def from_text(text: str, offset: float, vocabulary: dict[str, tuple[str, ...]]) -> FittedModel:
        """Compile a model from LightGBM's text and the log-odds offset that undoes downsampling."""
        return FittedModel(
            Lightgbm, compile_trees(text, WIDTH, offset), vocabulary, {MODEL_FILE: text}, {"offset": offset}
        )

    @staticmethod
    def restore(text: dict[str, str], meta: dict[str, Any]) -> FittedModel:
        """Build the model from its folder's files.

        Raises:
            ModelError: The file is missing or damaged, cannot be scored here, or names other columns or levels.

        """
        found, offset = plain_text(text_of(text, MODEL_FILE)), float(meta["offset"])
        try:
            check_levels(found, meta["vocabulary"])
            tables = compiled_model(found, FEATURES, offset)
        except ModelError as error:
            raise ModelError(f"{MODEL_FILE}: {error}") from None
        return FittedModel(Lightgbm, tables, meta["vocabulary"], {MODEL_FILE: found}, {"offset": offset})


def _import_lightgbm() -> Any:
    try:
        import lightgbm  # noqa: PLC0415  (1 to 2 s: only when a model is trained)
    except OSError as error:
        raise BidsimError(
            f"LightGBM cannot load the system's OpenMP library ({error}).\nInstall it, then run again:\n"
            "  Debian, Ubuntu:  apt-get install libgomp1\n  Fedora:          dnf install libgomp\n  Alpine:          "
            "apk add libgomp"
        ) from None
    return lightgbm
