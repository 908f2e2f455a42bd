"""Converts an embedding model: `python scripts/convert_minilm.py FOLDER FILE.gguf`.

Owns the command line. For Hugging Face folders of BERT's kind, such as all-MiniLM-L6-v2; all
weights are written in float32. The server makes such a file by itself where it is given a folder.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Reads the command line and writes the file."""
    from backends.embedding_conversion.bert_folder import read_bert_folder
    from backends.embedding_conversion.gguf_export import write_gguf
    from core.errors import ModelLoadError

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the Hugging Face folder")
    parser.add_argument("target", type=Path, help="the GGUF file to write")
    arguments = parser.parse_args()
    try:
        write_gguf(read_bert_folder(arguments.folder), arguments.target)
    except (ModelLoadError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{arguments.target} {arguments.target.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
