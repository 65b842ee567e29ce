import { by, File } from "../file";

new File("a", {
  nothing: null,
  dropped: undefined,
  empty: "",
  zero: 0,
  negative: -1.25,
  large: 9007199254740991,
  no: false,
  list: [],
  map: {},
  deep: [[], [{}], [null, "", 0, false]],
  text: 'quotes " and \\ and \n and é and 🐘 and \u0000',
  "a key with spaces": 1,
  "key.with.dots": 2,
});
new File("nulls", { value: by<unknown>(null, undefined), other: by<unknown>(undefined, null) });
new File("types", { value: by<unknown>(1, "1"), list: by<unknown>([1], { 0: 1 }) });
