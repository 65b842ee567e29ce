import * as pulumi from "@pulumi/pulumi";
import { by } from "../file";

const suffix = "!";
const provider: pulumi.dynamic.ResourceProvider = {
  async create(inputs) {
    return { id: `id-of-${inputs.text}`, outs: { text: inputs.text, loud: inputs.text + suffix } };
  },
  async diff(_id, olds, news) {
    return { changes: olds.text !== news.text };
  },
  async update(_id, _olds, news) {
    return { outs: { text: news.text, loud: news.text + suffix } };
  },
};

class Shout extends pulumi.dynamic.Resource {
  declare readonly loud: pulumi.Output<string>;
  constructor(name: string, text: pulumi.Input<string>) {
    super(provider, name, { text, loud: undefined });
  }
}

const first = new Shout("first", by("hello", "goodbye"));
export const loud = new Shout("second", first.loud).loud;
