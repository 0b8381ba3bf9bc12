"""python -m sparsegap"""

from sparsegap.cli import main

if __name__ == "__main__":
    main()
