import { suggest } from "@lapidary/std";
import type { Comparison, Expression, Operand, Scalar } from "./expression.js";
import { ruleError } from "./rule-error.js";

/** The columns that a condition can read, with their types. */
export type Columns = ReadonlyMap<string, "number" | "text">;

interface Token {
  readonly kind: "number" | "text" | "word" | "sign" | "end";
  readonly text: string;
  /** The place in the condition, from 1. */
  readonly at: number;
}

const comparisons: readonly string[] = ["<", "<=", ">", ">=", "==", "!="];
const words = ["and", "or", "not", "in", "unless"];
const tokenPattern =
  /\s*(?:(?<number>-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?%?)(?![\w.])|"(?<double>[^"]*)"|'(?<single>[^']*)'|(?<word>[A-Za-z_][\w.-]*)|(?<sign><=|>=|==|!=|[<>()[\],]))/y;

/**
 * Parses a condition.
 *
 *     condition  = either ["unless" either]
 *     either     = both {"or" both}
 *     both       = term {"and" term}
 *     term       = "not" term | "(" condition ")" | operand comparison operand | operand ["not"] "in" "[" value {"," value} "]"
 *     operand    = number | number "%" | "text" | column
 *
 * In a list, a word is a text. `a unless b` means `a and not b`.
 *
 * @throws LapidaryError LAP_DATA_RULE with the character of the mistake
 */
export function parseExpression(text: string, columns: Columns, location: string): Expression {
  const parser = new Parser(tokensOf(text, location), columns, text, location);
  return parser.whole();
}

function tokensOf(text: string, location: string): readonly Token[] {
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  for (let at = 0; at < end; ) {
    tokenPattern.lastIndex = at;
    const match = tokenPattern.exec(text);
    if (match === null) {
      const start = at + (/^\s*/.exec(text.slice(at))?.[0].length ?? 0);
      const sign = text[start] ?? "";
      const remedy =
        sign === "="
          ? "write == to compare"
          : sign === "&" || sign === "|"
            ? "write `and` or `or`"
            : "write a column, a number or a text in quotes";
      throw ruleError(`${JSON.stringify(text)} has an unexpected ${JSON.stringify(sign)} at character ${start + 1}`, location, remedy);
    }
    const { number, double, single, word, sign = "" } = match.groups ?? {};
    const raw = number ?? double ?? single ?? word ?? sign;
    const kind =
      number !== undefined ? "number" : double !== undefined || single !== undefined ? "text" : word !== undefined ? "word" : "sign";
    tokens.push({ kind, text: raw, at: at + match[0].length - match[0].trimStart().length + 1 });
    at += match[0].length;
  }
  return [...tokens, { kind: "end", text: "the end", at: end + 1 }];
}

class Parser {
  #next = 0;

  constructor(
    private readonly tokens: readonly Token[],
    private readonly columns: Columns,
    private readonly text: string,
    private readonly location: string,
  ) {}

  whole(): Expression {
    const expression = this.#condition();
    if (this.#token.kind !== "end") this.#fail(this.#token, "join conditions by `and`, `or` or `unless`");
    return expression;
  }

  #condition(): Expression {
    const either = this.#chain("or", () => this.#chain("and", () => this.#term()));
    if (!this.#takes("unless")) return either;
    const exception = this.#chain("or", () => this.#chain("and", () => this.#term()));
    return { kind: "and", terms: [either, { kind: "not", term: exception }] };
  }

  #chain(kind: "and" | "or", part: () => Expression): Expression {
    const terms = [part()];
    while (this.#takes(kind)) terms.push(part());
    const [first] = terms;
    return terms.length === 1 && first !== undefined ? first : { kind, terms };
  }

  #term(): Expression {
    if (this.#takes("not")) return { kind: "not", term: this.#term() };
    if (this.#takes("(")) {
      const inner = this.#condition();
      this.#expect(")");
      return inner;
    }
    const start = this.#token;
    const left = this.#operand();
    const negated = this.#takes("not");
    if (negated || this.#token.text === "in") {
      this.#expect("in");
      const member: Expression = { kind: "in", left, list: this.#list(this.#typeOf(left)) };
      return negated ? { kind: "not", term: member } : member;
    }
    const sign = this.#token;
    if (sign.kind !== "sign" || !comparisons.includes(sign.text)) return this.#fail(sign, "write a comparison, such as < 0.35");
    this.#next++;
    const right = this.#operand();
    this.#checkTypes(start, left, sign.text, right);
    return { kind: "compare", left, op: sign.text as Comparison, right };
  }

  #checkTypes(start: Token, left: Operand, op: string, right: Operand): void {
    const types = [this.#typeOf(left), this.#typeOf(right)];
    if (types[0] !== types[1])
      this.#fail(start, `compare numbers with numbers and texts with texts: here are a ${types[0]} and a ${types[1]}`);
    if (types[0] === "text" && op !== "==" && op !== "!=") this.#fail(start, "compare texts by == or !=");
    if (!("column" in left) && !("column" in right)) this.#fail(start, "name a column on one side");
  }

  #list(type: "number" | "text"): readonly Scalar[] {
    this.#expect("[");
    const list: Scalar[] = [];
    do {
      const token = this.#token;
      if (token.kind === "sign" || token.kind === "end") this.#fail(token, "write a list such as [maths, code]");
      this.#next++;
      const value = token.kind === "number" ? numberOf(token.text) : token.text;
      if ((typeof value === "number" ? "number" : "text") !== type) this.#fail(token, `write values of the type ${type}`);
      list.push(value);
    } while (this.#takes(","));
    this.#expect("]");
    return list;
  }

  #operand(): Operand {
    const token = this.#token;
    if (token.kind === "sign" || token.kind === "end" || (token.kind === "word" && words.includes(token.text)))
      return this.#fail(token, "write a column, a number or a text in quotes");
    this.#next++;
    if (token.kind === "number") return { value: numberOf(token.text) };
    if (token.kind === "text") return { value: token.text };
    if (!this.columns.has(token.text)) {
      const near = suggest(token.text, this.columns.keys());
      const remedy =
        near === undefined ? `write a column that the stages before measure, or ${JSON.stringify(token.text)} in quotes` : `write ${near}`;
      throw ruleError(`${JSON.stringify(this.text)} names an unknown column ${token.text} at character ${token.at}`, this.location, remedy);
    }
    return { column: token.text };
  }

  #typeOf(operand: Operand): "number" | "text" {
    if ("column" in operand) return this.columns.get(operand.column) ?? "number";
    return typeof operand.value === "number" ? "number" : "text";
  }

  get #token(): Token {
    return this.tokens[this.#next] ?? { kind: "end", text: "the end", at: this.text.length + 1 };
  }

  #takes(text: string): boolean {
    const { kind, text: found } = this.#token;
    if (found !== text || (kind !== "word" && kind !== "sign")) return false;
    this.#next++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#takes(text)) this.#fail(this.#token, `write ${text}`);
  }

  #fail(token: Token, remedy: string): never {
    const found = token.kind === "end" ? token.text : JSON.stringify(token.text);
    throw ruleError(`${JSON.stringify(this.text)} has an unexpected ${found} at character ${token.at}`, this.location, remedy);
  }
}

const numberOf = (text: string): number => (text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text));
