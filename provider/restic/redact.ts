/** Takes secrets out of a text. */
export type Redact = (text: string) => string;

const mask = "***";

/**
 * Returns a function that replaces each of `secrets` (of 4 characters or more, also as they look inside JSON, a Go
 * string or a URL) and the password of any `scheme://user:password@host`.
 */
export function redactor(secrets: Iterable<string>): Redact {
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret.length < 4) continue;
    forms.add(secret);
    forms.add(encodeURIComponent(secret));
    forms.add(JSON.stringify(secret).slice(1, -1));
  }
  const longestFirst = [...forms].sort((a, b) => b.length - a.length);
  return text => {
    let clean = text;
    for (const form of longestFirst) clean = clean.replaceAll(form, mask);
    return maskUrl(clean);
  };
}

/** Masks the password of every `scheme://user:password@host` in a text. */
export function maskUrl(text: string): string {
  return text.replace(/(:\/\/[^\s/:@]*):[^\s/]*@/g, `$1:${mask}@`);
}
