// Run by the tests in a process of its own, which is then killed: opens the volume of the request in argv[2].
import { openVolume } from "../../../../provider/movers/local";

void openVolume(JSON.parse(process.argv[2] ?? "")).then(volume => {
  process.stdout.write(`${volume.how}\n`);
  setInterval(() => {}, 1000);
});
