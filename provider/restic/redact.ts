/** Takes secrets out of a text. */
export type Redact = (text: string) => string;

const mask = "***";

/**
 * Returns a function that replaces each of `secrets` (also as they look inside JSON, a Go string or a URL) and the
 * password of any `scheme://user:password@host`. A secret that could be a word of a sentence is replaced only where it
 * stands as a whole word, and one that is a word of our own sentences, or below 4 characters, not at all: `weakPassword`
 * refuses such ones for new repositories.
 */
export function redactor(secrets: Iterable<string>): Redact {
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret.length < 4 || ownWords.has(secret.toLowerCase())) continue;
    forms.add(secret);
    forms.add(encodeURIComponent(secret));
    forms.add(JSON.stringify(secret).slice(1, -1));
  }
  const patterns = [...forms].sort((a, b) => b.length - a.length).map(patternOf);
  return text => {
    let clean = text;
    for (const pattern of patterns) clean = clean.replace(pattern, mask);
    return maskUrl(clean);
  };
}

function patternOf(secret: string): RegExp {
  const literal = secret.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  return new RegExp(/^\p{L}+$/u.test(secret) ? `(?<!\\p{L})${literal}(?!\\p{L})` : literal, "gu");
}

/** Words that our messages, restic's and a user's paths are full of. */
const ownWords = new Set([
  "access",
  "backup",
  "backups",
  "bucket",
  "cinder",
  "data",
  "default",
  "demo",
  "disk",
  "file",
  "files",
  "home",
  "host",
  "keys",
  "local",
  "locks",
  "openstack",
  "osbackup",
  "passphrase",
  "password",
  "passwort",
  "pulumi",
  "repo",
  "repository",
  "restic",
  "restore",
  "root",
  "secret",
  "server",
  "snapshot",
  "snapshots",
  "storage",
  "store",
  "test",
  "user",
  "volume",
  "volumes",
]);

/** The shortest password that a new repository may have. */
const shortestPassword = 8;

/** Why a password must not be a new repository's; never with the password. */
export function weakPassword(password: string): string | undefined {
  const why =
    password.length < shortestPassword
      ? `it has ${password.length} characters, the least is ${shortestPassword}`
      : ownWords.has(password.toLowerCase())
        ? "it is a word that messages are full of, and could not be kept out of them"
        : undefined;
  return why && `${why}: take another one`;
}

/** Masks the password of every `scheme://user:password@host` in a text. */
export function maskUrl(text: string): string {
  return text.replace(/(:\/\/[^\s/:@]*):[^\s/]*@/g, `$1:${mask}@`);
}
