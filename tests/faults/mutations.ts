/**
 * Ways in which the provider may be broken, each in the compiled text of one file. The matrix must see every one of them:
 * if it does not, it looks at the wrong things.
 */
export interface Mutation {
  /** What a provider with it does wrong. */
  does: string;
  /** Below `dist/provider`. */
  file: string;
  /** Is in the file exactly once. */
  find: string;
  replace: string;
  /** The cases that show it, by their titles. A few: the whole matrix would too. */
  shownBy: RegExp;
}

export const mutations: readonly Mutation[] = [
  {
    does: "takes a second snapshot where a dead run has begun one",
    file: "operations/snapshot-set.js",
    find: "if ((0, marks_1.runKey)(candidate) !== (0, marks_1.runKey)(take.mark))",
    replace: "if (true)",
    shownBy: /^first: POST \S+\/snapshots: (kill during|connection reset after)$/,
  },
  {
    does: "takes a second image where a dead run has begun one",
    file: "operations/image-set.js",
    find: "if ((0, marks_1.runKey)(candidate) !== (0, marks_1.runKey)(take.mark))",
    replace: "if (true)",
    shownBy: /^first: POST \S+\/action: (kill during|connection reset after)$/,
  },
  {
    does: "takes a point that lacks files for a good one",
    file: "operations/set-point.js",
    find: "points.find(point => point.good && (0, exports.isOfRun)(point, run))",
    replace: "points.find(point => (0, exports.isOfRun)(point, run))",
    shownBy: /^first: backup: exit 3$/,
  },
  {
    does: "removes a half-filled volume that is still mounted here",
    file: "operations/restore-volume.js",
    find: "await target.letGo?.();",
    replace: "",
    shownBy: /^restore: restore: kill before$/,
  },
  {
    does: "takes an object for gone that Cinder has put back",
    file: "cinder/remove.js",
    find: "if (end.gone)\n",
    replace: "if (true)\n",
    shownBy: /^(destroy|third): (snapshot|volume) busy$/,
  },
  {
    does: "believes a 404 of something that is there",
    file: "cinder/remove.js",
    find: "if (await isGone())",
    replace: "if (true)",
    shownBy: /^destroy: DELETE \S+\/snapshots\/\{id\}: 404 once$/,
  },
  {
    does: "keeps one point fewer than it should",
    file: "operations/retention/decision.js",
    find: "++seen <= count ?",
    replace: "++seen < count ?",
    shownBy: /^third: GET \S+\/limits: 503 once$/,
  },
  {
    does: "removes Cinder points before the copy of a newer one is proven",
    file: "resources/snapshot-store.js",
    find: "given.awaitsCopy ? copied_1.retainCopied : retention_1.applyRetention",
    replace: "retention_1.applyRetention",
    shownBy: /^third: backup: exit 1 always$/,
  },
  {
    does: "takes the point of another slot for this one's",
    file: "operations/set-point.js",
    find: "(0, marks_1.runKey)(point) === (0, marks_1.runKey)(run) &&",
    replace: "",
    shownBy: /^third: GET \S+\/limits: 503 once$/,
  },
  {
    does: "takes others' objects for its own whose owner begins like its own",
    file: "operations/inventory.js",
    find: "return [...(this.byOwner.get(owner)?.values() ?? [])];",
    replace:
      "return [...this.byOwner].flatMap(([name, rows]) => name.startsWith(owner) ? [...rows.values()] : []);",
    shownBy: /^(third|destroy): GET \/volume\/v3\/: 503 once$/,
  },
  {
    does: "says the repository's password",
    file: "driver/world.js",
    find: "const key = JSON.stringify(access);",
    replace: "const key = JSON.stringify(access); this.print(key);",
    shownBy: /^first: GET \S+\/limits: 503 once$/,
  },
  {
    does: "forgets what it let go of together with others and could not remove",
    file: "resources/point-set.js",
    find: "if (still.length > 0)",
    replace: "if (false)",
    shownBy: /^third: forget: (no space left|exit 1 always)$/,
  },
  {
    does: "keeps the attachment of a dead run",
    file: "cinder/attach-volume.js",
    find: "for (const { id, instance } of left)",
    replace: "for (const { id, instance } of [])",
    shownBy: /^first: POST \S+\/attachments: kill (during|after)$/,
  },
  {
    does: "believes a 404 of an image that is there",
    file: "openstack/errors.js",
    find: "(await look().catch(undefinedIfNotFound)) !== undefined",
    replace: "false",
    shownBy: /^destroy: DELETE \S+\/images\/\{id\}: 404 once$/,
  },
  {
    does: "repeats a token that a service's error page shows",
    file: "openstack/session.js",
    find: "[token.text, password, given, applicationCredentialSecret]",
    replace: "[password, given, applicationCredentialSecret]",
    shownBy: /^first: POST \S+\/snapshots: 403 always$/,
  },
  {
    does: "does not say what to do about a failure",
    file: "hosts/remedy.js",
    find: "; the next run goes on from here",
    replace: "",
    shownBy: /^first: POST \S+\/volumes: 502 always$/,
  },
];
