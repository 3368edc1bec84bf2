"""Recipes: settings from text, what is refused, and every recipe that comes along."""

import contextlib
import importlib
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax.errors import InputError
from mfst_jax.train import recipes
from mfst_jax.train.command import find_recipe
from mfst_jax.train.recipe import FIELD_TYPES, Recipe, of_module, override
from mfst_jax.train.steps import learning_rate

RECIPES = sorted(path.stem for path in Path(recipes.__file__).parent.glob("[!_]*.py"))


@pytest.fixture(autouse=True, scope="module")
def library_alone():
    """Wrong types must meet the library's own errors, which the import hook of the tests would forestall."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        yield


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_one_and_says_its_command_on_top(name):
    module = importlib.import_module(f"mfst_jax.train.recipes.{name}")
    assert of_module(name, module) == find_recipe(name)[1]
    assert f"mfst train {name}" in (module.__doc__ or "")


def test_the_papers_recipe_has_the_papers_schedule():
    recipe = find_recipe("paper")[1]
    assert recipe.epochs == 50
    rates = [float(learning_rate(recipe, epoch * recipe.steps_per_epoch)) for epoch in range(50)]
    np.testing.assert_allclose(rates, 0.01 * 0.86 ** np.arange(50), rtol=1e-4)


def test_settings_reach_every_kind_of_field():
    changed = override(
        Recipe(model="siamfc"),
        ["model=alexnet", "factors=1,.1,1e-2", "epochs=3", "flip=on", "learning_rate=1", "label_radius=24"],
    )
    assert changed == Recipe(
        model="alexnet", factors=(1.0, 0.1, 0.01), epochs=3, flip=True, learning_rate=1.0, label_radius=24.0
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs", "no '='"),
        ("epoch=1", "expected one of model, .* found no such field"),
        ("decay_speed=3", "expected one of model, .* found no such field"),
        ("label_distance=euclidean", "expected one of model, .* found no such field"),
        ("epochs=0", "epochs: expected 1 or more, found 0"),
        ("epochs=many", "epochs: expected a whole number, found 'many'"),
        ("model=resnet", "model: expected one of siamfc, alexnet, found 'resnet'"),
        ("accumulation=3", "a divisor of the batch size, 8"),
        ("learning_rate=nan", "learning_rate: expected a finite number"),
        ("factors=1,2", "factors: expected 3 values"),
        ("factors=1,-2,inf", "factors: expected finite numbers above 0"),
        ("pairs_per_epoch=7", "a batch at least"),
        ("momentum=1", r"momentum: expected in \[0, 1\)"),
        ("stretch=.2", "a reach of at most 16 samples"),
    ],
)
def test_unusable_settings_are_refused(setting, message):
    with pytest.raises(InputError, match=message):
        override(Recipe(model="siamfc"), [setting])


@given(st.sampled_from(sorted(FIELD_TYPES)), st.text(max_size=8))
def test_any_text_is_a_value_or_an_input_error(key, text):
    with contextlib.suppress(InputError):
        assert isinstance(override(Recipe(model="siamfc"), [f"{key}={text}"]), Recipe)


def test_augmentation_needs_images():
    with pytest.raises(InputError, match="0 with augmentation"):
        Recipe(model="siamfc", flip=True, cached_pairs=10)
    assert Recipe(model="siamfc", flip=True).augmentation.active


def test_a_file_without_a_recipe_is_refused(tmp_path: Path):
    (tmp_path / "mine.py").write_text("RECIPE = 3\n")
    with pytest.raises(InputError, match="expected a file that defines RECIPE"):
        find_recipe(str(tmp_path / "mine.py"))
    with pytest.raises(InputError, match=r"expected one of .*se_alexnet, se_siamfc"):
        find_recipe("nothing")
