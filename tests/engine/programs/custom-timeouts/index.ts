import { by, File } from "../file";

new File(
  "a",
  {},
  { customTimeouts: by({ create: "5m", delete: "1h30m" }, { create: "5m", update: "1.5s" }) },
);
new File("b", {}, by({}, { customTimeouts: { delete: "90s" } }));
