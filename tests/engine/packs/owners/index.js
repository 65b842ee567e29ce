const { PolicyPack } = require("@pulumi/policy");

new PolicyPack("owners", {
  enforcementLevel: "mandatory",
  policies: [
    {
      name: "known-owner",
      description: "Only the operators own files.",
      configSchema: {
        properties: { owners: { type: "array", items: { type: "string" } } },
        required: ["owners"],
      },
      validateResource(args, reportViolation) {
        const { owner } = args.props;
        if (owner !== undefined && !args.getConfig().owners.includes(owner))
          reportViolation(`${owner} owns it`);
      },
    },
  ],
});
