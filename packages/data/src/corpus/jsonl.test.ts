import { deepStrictEqual, match, ok, throws } from "node:assert/strict";
import { join } from "node:path";
import { hasCode } from "@lapidary/tokenizer/testing";
import { CorpusFiles, readCorpus, sourcesOf } from "../testing/read-corpus.js";

const workspace = new CorpusFiles();
after(() => workspace.remove());

describe("JSON lines", () => {
  it("each line of a JSONL file is a document with the text of the requested field", () => {
    const lines = `{"text":"one","body":"eins"}\n\n{"text":"two\\n","body":"zwei"}`;
    const path = join(workspace.folder({ "d.jsonl": lines }), "d.jsonl");
    deepStrictEqual(
      readCorpus(path).documents.map(({ source, text }) => [source, text]),
      [
        ["d.jsonl:1", "one"],
        ["d.jsonl:3", "two\n"],
      ],
    );
    deepStrictEqual(
      readCorpus(path, "body").documents.map(({ text }) => text),
      ["eins", "zwei"],
    );
  });

  it("the error of an invalid JSONL line names the file and the line", () => {
    const bad = (line: string): void =>
      throws(
        () => readCorpus(join(workspace.folder({ "d.jsonl": `{"text":"x"}\n${line}\n` }), "d.jsonl")),
        hasCode("LAP_DATA_JSONL", "d.jsonl:2"),
      );
    for (const line of ["{", "[]", "null", '"text"', '{"txt":"x"}', '{"text":3}']) bad(line);
    throws(() => readCorpus(join(workspace.folder({ "d.jsonl": '{"text":"x"}' }), "d.jsonl"), "toString"), hasCode("LAP_DATA_JSONL"));
  });

  it("JSON lines and arrays under another name are read if their objects have the text field", () => {
    const lines = '{"text":"one"}\n{"text":"two"}\n';
    for (const name of ["d.json", "d.txt", "d"]) deepStrictEqual(workspace.texts(name, lines), ["one", "two"], name);
    deepStrictEqual(workspace.texts("array.json", JSON.stringify([{ text: "one" }, { text: "two" }], null, 2)), ["one", "two"]);
    deepStrictEqual(workspace.texts("crlf.jsonl", '\ufeff{"text":"one"}\r\n\r\n{"text":"two"}\r\n'), ["one", "two"]);
    deepStrictEqual(sourcesOf(readCorpus(workspace.folder({ "a.json": lines, "package.json": '{"name":"x"}', "b.txt": "{ not JSON }" }))), [
      "a.json:1",
      "a.json:2",
      "b.txt",
      "package.json",
    ]);
    match(workspace.refusal("pretty.jsonl", '{\n  "text": "one"\n}\n').message, /over several lines/);
  });

  it("the remedy of a missing field proposes a likely field by the key data.text_field", () => {
    const line = (object: object): string => `${JSON.stringify(object)}\n`;
    match(workspace.refusal("a.jsonl", line({ id: "3", content: "Hello there" })).remedy, /`data\.text_field: content`/);
    match(workspace.refusal("b.jsonl", line({ url: "u", essay: "A long text of one's own" })).remedy, /`data\.text_field: essay`/);
    match(
      workspace.refusal("c.jsonl", line({ id: "3 4", meta: { text: "inside" } })).remedy,
      /inside `meta`.*`data\.text_field: meta\.text`/,
    );
    match(workspace.refusal("f.jsonl", '{"text":"one"},\n').message, /ends with a comma/);
    match(workspace.refusal("g.jsonl", '[{"text":"one"}]\n').remedy, /jq -c '\.\[\]'/);
    match(workspace.refusal("d.jsonl", line({ text: null })).message, /has null in `text`/);
    const chat = workspace.refusal("chat.jsonl", line({ messages: [{ role: "user", content: "Hi" }] }));
    match(chat.message, /conversation in `messages`/);
    match(workspace.refusal("text.jsonl", line({ text: [{ from: "human", value: "Hi" }] })).message, /conversation in `text`/);
    for (const { remedy } of [chat, workspace.refusal("e.jsonl", "3\n")]) ok(!/textField/.test(remedy));
  });

  it("a dotted name selects an inner field, unless a field has the whole name", () => {
    const lines = '{"meta":{"text":"inner"}}\n{"meta.text":"outer","meta":{"text":"inner"}}\n';
    deepStrictEqual(
      readCorpus(join(workspace.folder({ "n.jsonl": lines }), "n.jsonl"), "meta.text").documents.map(({ text }) => text),
      ["inner", "outer"],
    );
  });
});
