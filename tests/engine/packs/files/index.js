const { PolicyPack } = require("@pulumi/policy");

const isFile = ({ type }) => type === "pulumi-nodejs:dynamic/files:File";

/** One policy of each kind; all but the disabled one take a file with a short content and no word of those below. */
new PolicyPack("files", {
  policies: [
    {
      name: "short-content",
      description: "A file's content is short.",
      enforcementLevel: "mandatory",
      severity: "high",
      configSchema: {
        properties: {
          maxLength: { type: "integer", minimum: 1, default: 20 },
          except: { type: "array", items: { type: "string" } },
          unit: { type: "string", enum: ["characters", "bytes"], default: "characters" },
        },
      },
      validateResource(args, reportViolation) {
        if (!isFile(args)) return;
        const { maxLength, except = [], unit } = args.getConfig();
        if (except.includes(args.name)) return;
        const { length } = String(args.props.content);
        if (length > maxLength)
          reportViolation(`"${args.props.content}" has ${length} ${unit}; ${maxLength} may be`);
      },
    },
    {
      name: "no-drafts",
      description: "A file is no draft.",
      validateResource(args, reportViolation) {
        if (isFile(args) && args.props.draft) reportViolation(`it is draft ${args.props.draft}`);
      },
    },
    {
      name: "has-owner",
      description: "A file has an owner.",
      enforcementLevel: "remediate",
      remediateResource(args) {
        if (isFile(args) && args.props.nobodys) return { ...args.props, owner: "the operators" };
      },
      validateResource(args, reportViolation) {
        if (isFile(args) && args.props.nobodys && args.props.owner === undefined)
          reportViolation("it has none");
      },
    },
    {
      name: "never",
      description: "There is no file.",
      enforcementLevel: "disabled",
      validateResource(args, reportViolation) {
        if (isFile(args)) reportViolation("there is one");
      },
    },
    {
      name: "sound",
      description: "A file breaks no policy.",
      validateResource(args) {
        if (isFile(args) && args.props.breaks === "validate") throw new Error("the policy is broken");
      },
    },
    {
      name: "few-files",
      description: "There are few files.",
      enforcementLevel: "mandatory",
      configSchema: { properties: { maxFiles: { type: "integer", default: 3 } } },
      validateStack(args, reportViolation) {
        const files = args.resources.filter(isFile);
        const { maxFiles } = args.getConfig();
        if (files.length > maxFiles) reportViolation(`there are ${files.length}; ${maxFiles} may be`);
      },
    },
    {
      name: "no-doubles",
      description: "No two files have the same content.",
      enforcementLevel: "mandatory",
      validateStack(args, reportViolation) {
        const seen = new Set();
        for (const { props, urn } of args.resources.filter(isFile)) {
          if (seen.has(props.content))
            reportViolation(`it has the content of another: ${props.content}`, urn);
          seen.add(props.content);
        }
      },
    },
  ],
});
