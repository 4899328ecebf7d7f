"""`python -m lightfer`, and the command `lightfer`.

`predict` and `--version` go by without typer and what else the other commands import: they start
quickly, and run where lightfer is installed without its dependencies.
"""

import sys

NEEDED = ("typer", "rich", "msgspec", "torch")


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["predict"]:
        from lightfer.inference.predict.command import main as predict

        sys.exit(predict(sys.argv[2:]))
    if sys.argv[1:] == ["--version"]:
        import lightfer

        print(f"lightfer {lightfer.__version__}")
        return
    try:
        from lightfer.cli.main import main as commands
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        print(
            f"lightfer: {error.name} is not installed; without it only `lightfer predict` works: "
            "pip install lightfer",
            file=sys.stderr,
        )
        sys.exit(2)
    commands()


if __name__ == "__main__":
    main()
