"""`python -m modeling_unet_svs` is `unet-svs`."""

from .command.cli import main

if __name__ == "__main__":
    main()
