import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A CA made for one test run, with a server's and a client's certificate. Needs openssl. */
export class Certificates {
  readonly directory = mkdtempSync(join(tmpdir(), "osbackup-certificates-"));
  readonly caFile = join(this.directory, "ca.pem");

  constructor() {
    this.#openssl(
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/CN=osbackup test CA",
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
    );
    this.#issue("server", "subjectAltName=IP:127.0.0.1");
    this.#issue("client", "extendedKeyUsage=clientAuth");
    writeFileSync(this.path("both.pem"), this.read("client.pem") + this.read("client.key"));
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  read(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }

  #issue(name: string, extension: string): void {
    writeFileSync(this.path(`${name}.ext`), extension);
    this.#openssl(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
    );
    this.#openssl(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-days",
      "2",
      "-extfile",
      `${name}.ext`,
      "-out",
      `${name}.pem`,
    );
  }

  #openssl(...args: string[]): void {
    execFileSync("openssl", args, { cwd: this.directory, stdio: "pipe" });
  }
}
