"""Asks openstacksdk how it resolves the cases of clouds-cases.yaml.

Usage: resolve.py CASES ANSWERS, with a Python that has openstacksdk. Each case runs in a fork of its own, because
openstacksdk fixes its search path when it is imported.
"""

import importlib
import importlib.metadata
import json
import os
import pathlib
import sys
import tempfile
import warnings

import openstack
import openstack.config.loader
import yaml

SERVICES = ["block-storage", "compute", "image"]
AUTH_KEYS = [
    "auth_url", "username", "user_id", "user_domain_id", "user_domain_name", "project_id", "project_name",
    "project_domain_id", "project_domain_name", "domain_id", "domain_name", "system_scope", "trust_id", "password",
    "token", "application_credential_id", "application_credential_name", "application_credential_secret",
]


def answer(case):
    loader = importlib.reload(openstack.config.loader)
    arguments = {"region_name": case["region"]} if case.get("region") else {}
    cloud = loader.OpenStackConfig().get_one(case.get("cloud"), **arguments)
    auth = dict(cloud.config["auth"])
    for kind in ("user", "project"):
        # What the generic password plugin does when it logs in (keystoneauth1/identity/generic/password.py).
        if not auth.get(kind + "_domain_id") and not auth.get(kind + "_domain_name"):
            for key in ("id", "name"):
                if auth.get("default_domain_" + key):
                    auth[f"{kind}_domain_{key}"] = auth["default_domain_" + key]
    # What the admin_token plugin answers for every service (keystoneauth1/token_endpoint.py).
    everywhere = auth.get("endpoint") if cloud.config["auth_type"] == "admin_token" else None
    verify, cert = cloud.get_requests_verify_args()
    return {
        "cloud": cloud.name,
        "region": cloud.get_region_name() or None,
        "auth_type": cloud.config["auth_type"],
        **{key: auth[key] for key in AUTH_KEYS if auth.get(key)},
        "verify": verify,
        "cert": cert,
        "timeout": cloud.config.get("api_timeout"),
        "services": {
            service: {
                "interface": cloud.get_interface(service),
                "region": cloud.get_region_name(service) or None,
                "endpoint": cloud.get_endpoint(service) or everywhere,
                "microversion": cloud.get_default_microversion(service),
            }
            for service in SERVICES
        },
    }


def run(case):
    with tempfile.TemporaryDirectory(prefix="osbackup-matrix-") as root:
        root = os.path.realpath(root)
        for name in ("home", "cwd"):
            os.mkdir(os.path.join(root, name))
        for name, text in (case.get("files") or {}).items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            os.environ.clear()
            os.environ["HOME"] = os.path.join(root, "home")
            for key, value in (case.get("env") or {}).items():
                if value is not None:
                    os.environ[key] = value.replace("{root}", root)
            os.chdir(os.path.join(root, "cwd"))
            try:
                result = answer(case)
            except Exception as error:
                result = {"error": type(error).__name__}
            text = json.dumps(result).replace(root, "{root}")
            os.write(writer, text.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        return json.loads(text)


def main(cases_file, answers_file):
    warnings.simplefilter("ignore")
    with open(cases_file) as stream:
        cases = yaml.safe_load(stream)
    answers = {name: run(case) for name, case in cases.items()}
    document = {"openstacksdk": importlib.metadata.version("openstacksdk"), "answers": answers}
    with open(answers_file, "w") as stream:
        json.dump(document, stream, indent=1)
        stream.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
