"""tests/rooms.py finds each kind of forbidden import where one is planted, and none in the package."""

import pytest
import rooms


@pytest.fixture
def plant(tmp_path):
    """Make a package of two folders in different layers and one beside, with these files in place of its own."""

    def make(**files: str):
        package = tmp_path / "bpe_lm"
        sound = {
            "__init__": "from bpe_lm.model.layers import Linear",
            "__main__": "from bpe_lm.cli.main import main",
            "errors": "",
            "fields": "from bpe_lm.errors import ConfigError",
            "data/sample": "from bpe_lm.fields import key",
            "tokenizer/train": "from . import vocab",
            "tokenizer/vocab": "from bpe_lm import errors",
            "model/layers": "from bpe_lm.tokenizer import train",
            "cli/main": "def main():\n    from bpe_lm.model.layers import Linear",
        }
        for name, text in {**sound, **{name.replace("__in__", "/"): text for name, text in files.items()}}.items():
            path = package / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if path.parent != package:
                (path.parent / "__init__.py").touch()
        return rooms.faults(package)

    return make


def test_the_package_has_no_forbidden_import_and_no_circle():
    assert rooms.faults(rooms.PACKAGE) == []
    assert len(rooms.imports(rooms.PACKAGE)) > 40  # It did read the package.


def test_imports_from_the_same_folder_and_from_lower_layers_are_allowed(plant):
    assert plant() == []


CIRCLES = {
    "at the top of the file": "from bpe_lm.tokenizer.train import train_bpe",
    "relative": "from .train import train",
    "of a whole module": "import bpe_lm.tokenizer.train",
    "inside a function": "def f():\n    from bpe_lm.tokenizer.train import train_bpe",
    "by the module's name": "import importlib\nimportlib.import_module('bpe_lm.tokenizer.train')",
    "for a type checker": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .train import train",
}


@pytest.mark.parametrize("text", CIRCLES.values(), ids=CIRCLES.keys())
def test_a_circle_is_found(plant, text):
    expected = "a circle of imports: bpe_lm.tokenizer.train, bpe_lm.tokenizer.vocab"
    assert plant(tokenizer__in__vocab=text) == [expected]


def test_a_circle_through_a_third_module_is_found(plant):
    found = plant(tokenizer__in__vocab="from . import third", tokenizer__in__third="from . import train")
    assert found == ["a circle of imports: bpe_lm.tokenizer.third, bpe_lm.tokenizer.train, bpe_lm.tokenizer.vocab"]


def test_an_upward_import_is_found(plant):
    found = plant(data__in__sample="def f():\n    from bpe_lm.model.layers import Linear")
    assert found == ["bpe_lm.data.sample imports bpe_lm.model.layers: model is not in a layer below data"]


def test_an_upward_import_from_beside_the_folders_is_found(plant):
    found = plant(fields="from .data.sample import write")
    assert found[0] == "bpe_lm.fields imports bpe_lm.data.sample: data is not in a layer below base"


def test_a_sideways_import_is_found(plant):
    found = plant(data__in__sample="from bpe_lm.tokenizer.train import train_bpe")
    assert found == ["bpe_lm.data.sample imports bpe_lm.tokenizer.train: tokenizer is not in a layer below data"]


def test_an_upward_import_of_a_whole_folder_is_found(plant):
    found = plant(data__in__sample="import bpe_lm.model")
    assert found == ["bpe_lm.data.sample imports bpe_lm.model: model is not in a layer below data"]


@pytest.mark.parametrize("text", ["import bpe_lm", "from bpe_lm import Linear", "from .. import Linear"])
def test_an_import_of_the_bare_package_is_found(plant, text):
    found = plant(cli__in__main=text)
    assert "bpe_lm.cli.main imports bpe_lm: import from the file that defines the name" in found


def test_a_folder_without_a_layer_is_found(plant):
    found = plant(extra__in__thing="")
    assert "bpe_lm.extra.thing: extra is in no layer; add it to LAYERS in tests/rooms.py" in found


def test_an_arrow_that_others_imply_is_not_drawn():
    graph = {"top": {"middle", "bottom"}, "middle": {"bottom"}, "bottom": set()}
    assert rooms.reduced(graph) == {"top": {"middle"}, "middle": {"bottom"}, "bottom": set()}


def test_each_drawn_arrow_runs_to_a_lower_layer():
    graph = rooms.folder_graph(rooms.PACKAGE)
    assert graph.keys() == rooms.HEIGHT.keys()
    assert all(rooms.HEIGHT[other] < rooms.HEIGHT[folder] for folder, others in graph.items() for other in others)


def test_the_drawings_are_up_to_date():
    page = rooms.PAGE.read_text(encoding="utf-8")
    assert page == rooms.drawn(page), "run python tests/rooms.py --draw"
