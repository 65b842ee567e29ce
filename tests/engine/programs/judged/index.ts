import * as pulumi from "@pulumi/pulumi";
import { File } from "../file";

/** The files to be had, by name; `contentOf` takes the digest of another one for content, which a preview does not know. */
const wanted = JSON.parse(process.env.WANTED ?? "{}") as Record<
  string,
  { content?: string; contentOf?: string; secret?: boolean; protect?: boolean; [input: string]: unknown }
>;

const files: Record<string, File> = {};
for (const [name, { contentOf, secret, protect, ...inputs }] of Object.entries(wanted)) {
  const content = contentOf === undefined ? inputs.content : files[contentOf]?.digest;
  const args = { ...inputs, content: secret ? pulumi.secret(content) : content };
  files[name] = new File(name, args, protect === undefined ? {} : { protect });
}
