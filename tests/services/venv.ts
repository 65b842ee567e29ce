import path from "node:path";
import { installVenv } from "./install";
import type { Command } from "./run";

/** One of the two virtual environments: Nova's requirements are kept apart from Cinder's. */
export type Venv = "cinder" | "nova";

const requirements: Record<Venv, string[]> = {
  cinder: ["cinder==29.0.0", "keystone==30.0.0", "waitress==3.0.2", "pymysql==1.2.4"],
  nova: [
    "nova==34.0.0",
    "glance==33.0.0",
    "openstack-placement==16.0.0",
    "waitress==3.0.2",
    "pymysql==1.2.4",
  ],
};

/** Makes the virtual environment if it is missing and returns its folder. Cinder's reaches Ceph through Debian's bindings. */
export function openstackVenv(venv: Venv): Promise<string> {
  return installVenv(`venv-${venv}`, requirements[venv], venv === "cinder" ? ["rbd", "rados"] : []);
}

/** A program of a virtual environment. */
export function venvProgram(
  venv: string,
  program: string,
  args: string[],
  environment: Record<string, string> = {},
): Command {
  const PATH = `${path.join(venv, "bin")}:${environment.PATH ?? process.env.PATH ?? ""}:/usr/sbin:/usr/bin:/sbin:/bin`;
  return {
    program: path.join(venv, "bin", program),
    args,
    environment: { PYTHONWARNINGS: "ignore", ...environment, PATH },
  };
}

/** The server of a WSGI application in a virtual environment. */
export function wsgiServer(
  venv: string,
  module: string,
  port: number,
  environment: Record<string, string> = {},
): Command {
  return venvProgram(venv, "python", [path.join(__dirname, "serve.py"), module, String(port)], environment);
}
