"""serve.py MODULE PORT: serves the WSGI application of a module on 127.0.0.1."""

import importlib
import sys

module, port = sys.argv[1], int(sys.argv[2])
sys.argv = [module]  # OpenStack's applications parse the command line while they are imported
application = importlib.import_module(module).application

import waitress  # noqa: E402

waitress.serve(application, host="127.0.0.1", port=port, threads=8)
