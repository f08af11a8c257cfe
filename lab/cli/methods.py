"""The command `methods`, and the tables of methods in lab/methods/README.md."""

from ..methods import METHODS
from .common import Arguments, Commands, allowed_values


def add_commands(commands: Commands) -> None:
    parser = commands.add(methods, "methods", "list the methods with their settings, components and presets")
    parser.add_argument("--table", action="store_true", help="print the tables of lab/methods/README.md instead")


def methods(args: Arguments) -> None:
    if args.table:
        print("\n".join(readme_tables()))
        return
    for name, method_class in METHODS.items():
        print(f"{name}: {method_class.title} ({method_class.family})\n    {method_class.paper}")
        presets = method_class.presets()
        for setting, field in method_class.Settings.fields().items():
            allowed = allowed_values(field.metadata)
            text = f"{setting}: {field.metadata['help']}" + (f" ({allowed})" if allowed else "")
            print(f"    {text}" + ("  [component]" if field.metadata["component"] else ""))
            print("        " + ", ".join(f"{preset} {getattr(values, setting)}" for preset, values in presets.items()))
        print()


def readme_tables() -> list[str]:
    """Two Markdown tables between comments: the methods and where each fails; where each departs from its paper."""
    rows = ["| id | method | family | components | paper |", "|---|---|---|---|---|"]
    for name, method_class in METHODS.items():
        fields = method_class.Settings.fields().items()
        components = ", ".join(f"`{setting}`" for setting, field in fields if field.metadata["component"]) or "none"
        cells = (f"`{name}`", method_class.title, method_class.family, components, method_class.paper)
        rows.append(f"| {' | '.join(cells)} |")
    rows += ["", "| method | fails on |", "|---|---|"]
    rows += [f"| {method_class.title} | {method_class.fails()} |" for method_class in METHODS.values()]
    differences = ["| method | ours differs from the paper | because |", "|---|---|---|"]
    for method_class in METHODS.values():
        differences += [f"| {method_class.title} | {what} | {why} |" for what, why in method_class.differs()]
    tables = {"methods": rows, "differs": differences}
    return ["\n".join([f"<!-- {mark} -->", *lines, f"<!-- /{mark} -->"]) for mark, lines in tables.items()]
