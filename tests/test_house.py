"""The house keeps its measure: what is long says why, and every package stands on a floor."""

from .house import floors, modules, too_long


def test_no_file_and_no_function_is_long_without_saying_why():
    assert list(too_long(modules())) == []


def test_every_package_stands_on_a_floor():
    standing = {name for floor in floors() for name in floor.split(" | ")}
    assert {module.box for module in modules()} - standing == {"agentic_flywheel", "__main__"}
