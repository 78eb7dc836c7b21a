"""`python -m semilayer_pipelines`: the command, where its script is not on the path."""

from semilayer_pipelines.cli.main import main

if __name__ == "__main__":
    main(prog_name="semilayer")
