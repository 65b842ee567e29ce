import { runEngineCli } from "../../engine";

runEngineCli(process.argv.slice(2)).then(code => {
  process.exitCode = code;
});
