# Uploads a file with PyPI's `tuspy`: ENDPOINT FILE BYTES_OF_A_PIECE [KEY=VALUE of the metadata]...; says how it ended as one line of JSON.
import json
import sys

from tusclient import client
from tusclient.exceptions import TusCommunicationError

endpoint, path, piece, *pairs = sys.argv[1:]
metadata = dict(pair.split("=", 1) for pair in pairs)
try:
    uploader = client.TusClient(endpoint).uploader(
        path, chunk_size=int(piece), metadata=metadata, retries=40, retry_delay=0.1
    )
    uploader.upload()
    print(json.dumps({"ok": True}))
except TusCommunicationError as error:
    print(json.dumps({"ok": False, "status": error.status_code, "why": str(error)}))
