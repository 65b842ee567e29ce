import type { Run } from "./run";

/** Paths of a throw-away authority and of a certificate for 127.0.0.1 and localhost that it has signed (PEM). */
export interface Certificates {
  caFile: string;
  certificateFile: string;
  keyFile: string;
}

/** Makes an authority and a server's certificate in `tls/<name>/` of the run, valid for two days. */
export async function makeCertificates(run: Run, name: string): Promise<Certificates> {
  const openssl = (...args: string[]) => run.execute("openssl", { program: "openssl", args });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const caFile = await run.write(`tls/${name}/ca.pem`, "");
  const caKeyFile = await run.write(`tls/${name}/ca-key.pem`, "", 0o600);
  const certificateFile = await run.write(`tls/${name}/server.pem`, "");
  const keyFile = await run.write(`tls/${name}/server-key.pem`, "", 0o600);
  const requestFile = run.path(`tls/${name}/server.csr`);
  const extensions = await run.write(
    `tls/${name}/server.ext`,
    "subjectAltName = IP:127.0.0.1, DNS:localhost\n",
  );
  await openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    caKeyFile,
    "-out",
    caFile,
    "-days",
    "2",
    "-subj",
    "/CN=osbackup test authority",
  );
  await openssl("req", ...newKey, "-keyout", keyFile, "-out", requestFile, "-subj", "/CN=127.0.0.1");
  await openssl(
    ...["x509", "-req", "-in", requestFile, "-CA", caFile, "-CAkey", caKeyFile, "-CAcreateserial"],
    ...["-out", certificateFile, "-days", "2", "-extfile", extensions],
  );
  return { caFile, certificateFile, keyFile };
}
