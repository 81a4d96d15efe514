import { equal, ok } from "node:assert/strict";
import { stripVTControlCharacters } from "node:util";
import { programText } from "./explain-text.js";
import { makePaint } from "./paint.js";

const program = `graph train_step chip mesh data=16 model=16
%0 = parameter name="params/w" : f32[32,4] <param> (vocab, embed) [model, data] @params/w
  %1 = all_gather %0 axes=[data] : f32[32,64] [model, -] @embed.gather
return %1`;

describe("the text of a program", () => {
  it("without colour, the text is the program itself", () => {
    equal(programText(program, makePaint(false)), program);
  });

  it("with colour, collectives are yellow, shardings cyan, and the characters stay the same", () => {
    const painted = programText(program, makePaint(true));
    equal(stripVTControlCharacters(painted), program);
    ok(painted.includes("\x1b[33mall_gather\x1b[39m") && !painted.includes("\x1b[33mparameter"));
    ok(painted.includes("\x1b[36m[model, data]\x1b[39m") && painted.includes("\x1b[36m[model, -]\x1b[39m"));
    ok(painted.includes("\x1b[2m @embed.gather\x1b[22m"));
  });
});
