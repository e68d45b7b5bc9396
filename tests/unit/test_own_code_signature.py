"""The parameters of an own class are read from its source, and nothing of it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelyard.code.errors import OwnCodeError
from modelyard.code.signature import Argument, parse_signature, read_signature


def arguments(signature: str, before: str = "") -> dict[str, Argument]:
    """The arguments of a class with this signature, by name."""
    text = (
        f"import nothing_that_exists\n{before}\n"
        f"class Net(nn.Module):\n    def __init__(self, {signature}): raise SystemExit\n"
    )
    return {a.name: a for a in parse_signature(text.encode(), "net.py", "Net")}


@pytest.mark.parametrize(
    ("written", "type_", "default", "optional", "choices"),
    [
        ("a: int = 64", int, 64, False, None),
        ("a: float = 0.1", float, 0.1, False, None),
        ("a: float = 0", float, 0, False, None),
        ("a: str = 'x'", str, "x", False, None),
        ("a: bool = True", bool, True, False, None),
        ("a: 'int' = 3", int, 3, False, None),
        ("a: int | None = None", int, None, True, None),
        ("a: Optional[float] = None", float, None, True, None),
        ("a: typing.Optional[int] = 2", int, 2, True, None),
        ("a: Union[int, float] = 2", float, 2, False, None),
        ("a: Literal['x', 'y'] = 'x'", str, "x", False, ("x", "y")),
        ("a: Literal[1, 2] | None = None", int, None, True, (1, 2)),
        ("a: Annotated[int, 'wide'] = 4", int, 4, False, None),
        ("a: Any = 4", object, 4, True, None),
        ("a=64", int, 64, False, None),
        ("a=-0.5", float, -0.5, False, None),
        ("a=1", float, 1, False, None),
        ("a=None", object, None, True, None),
        ("a='x'", str, "x", False, None),
        ("a: int = WIDTH", int, 32, False, None),
    ],
)
def test_annotation_and_default_tell_what_a_parameter_takes(
    written: str, type_: type, default: Any, optional: bool, choices: Any
) -> None:
    """The annotation goes first; without one the default suggests it; constants are looked up."""
    found = arguments(f"inputs, outputs, {written}", "WIDTH = 32")["a"]

    assert found.kind.type is type_
    assert (found.default, type(found.default)) == (default, type(default))
    assert (found.kind.optional, found.kind.choices) == (optional, choices)
    assert not found.required
    assert not found.opaque


def test_what_has_no_default_is_required_and_what_cant_be_read_is_left_to_the_code() -> None:
    """A computed default exists, though nobody here knows it."""
    found = arguments("inputs, outputs, a: int, *, b: float = 2 * math.pi, c=make()")

    assert (found["a"].required, found["a"].opaque) == (True, False)
    assert (found["b"].required, found["b"].opaque, found["b"].kind.type) == (False, True, float)
    assert (found["c"].opaque, found["c"].kind.type) == (True, object)


def test_what_no_trial_can_give_is_no_parameter() -> None:
    """Lists and functions stay as the class has them; inputs, outputs, * and ** are none either."""
    signature = "inputs, outputs, a: int = 1, b: list[int] = (), c=[1], *args, d=(2,), **rest"

    assert list(arguments(signature)) == ["a"]


def test_an_init_of_another_class_of_the_file_counts() -> None:
    """A class that only overrides forward is built as its base is."""
    text = b"class Base(M):\n  def __init__(self, inputs, outputs, a=2): ...\nclass Net(Base): ..."

    assert [a.name for a in parse_signature(text, "net.py", "Net")] == ["a"]


REFUSED = {
    "class Net(M):\n  def __init__(self, outputs): ...": "line 2: Net doesn't take inputs;",
    "class Net(M):\n  def __init__(self, **all): ...": "doesn't take inputs and outputs",
    "class Net(M):\n  def forward(self): ...": "line 1: Net has no __init__ in this file",
    "\nclass Net(M:\n  pass": "net.py line 2 is not Python",
    "class Nett(M): ...": "has no class 'Net'; it has Nett; did you mean 'Nett'?",
    "x = 1": "it has no class at all",
    "from nets import Net": "line 1 only imports Net; name the file that defines it",
    "class Net(M):\n  def __init__(self, inputs, outputs, sizes: list[int]): ...": (
        "its argument sizes is list[int] and has no default"
    ),
    "class Net(M):\n  def __init__(self, a, /, inputs, outputs): ...": (
        "a can only be given by position"
    ),
    "\0": "is not Python",
}


@pytest.mark.parametrize(("text", "said"), REFUSED.items())
def test_a_class_that_cant_be_built_is_refused_with_its_place(text: str, said: str) -> None:
    """The message names file, line and what to write."""
    with pytest.raises(OwnCodeError) as caught:
        parse_signature(text.encode(), "net.py", "Net")

    assert said in str(caught.value)
    assert "net.py" in str(caught.value)


def test_a_file_that_isnt_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """Other Python files of the folder are what may have been meant."""
    (tmp_path / "my_net.py").touch()

    with pytest.raises(OwnCodeError, match=r"there is no file .*; did you mean 'my_net\.py'\?"):
        read_signature(tmp_path / "mynet.py", "Net")
