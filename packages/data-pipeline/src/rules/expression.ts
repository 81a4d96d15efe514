/** Values of columns: a number, or a text such as the source. */
export type Scalar = number | string;

export type Operand = { readonly column: string } | { readonly value: Scalar };
export type Comparison = "<" | "<=" | ">" | ">=" | "==" | "!=";

/** A condition on the columns of one document. It is JSON, so that it is part of a key. */
export type Expression =
  | { readonly kind: "compare"; readonly left: Operand; readonly op: Comparison; readonly right: Operand }
  | { readonly kind: "in"; readonly left: Operand; readonly list: readonly Scalar[] }
  | { readonly kind: "and" | "or"; readonly terms: readonly Expression[] }
  | { readonly kind: "not"; readonly term: Expression };

/** The result that some comparisons of a condition are given instead of their own. */
interface Assumption {
  readonly comparisons: ReadonlySet<Expression>;
  readonly is: boolean;
}

/** Whether a condition holds. A comparison with a value that is missing (NaN) does not hold. */
export function holds(expression: Expression, valueOf: (column: string) => Scalar, assumed?: Assumption): boolean {
  if (assumed?.comparisons.has(expression) === true) return assumed.is;
  switch (expression.kind) {
    case "compare":
      return compare(valueOfOperand(expression.left, valueOf), expression.op, valueOfOperand(expression.right, valueOf));
    case "in":
      return expression.list.includes(valueOfOperand(expression.left, valueOf));
    case "and":
      return expression.terms.every((term) => holds(term, valueOf, assumed));
    case "or":
      return expression.terms.some((term) => holds(term, valueOf, assumed));
    case "not":
      return !holds(expression.term, valueOf, assumed);
  }
}

const valueOfOperand = (operand: Operand, valueOf: (column: string) => Scalar): Scalar =>
  "column" in operand ? valueOf(operand.column) : operand.value;

function compare(left: Scalar, op: Comparison, right: Scalar): boolean {
  if (Number.isNaN(left) || Number.isNaN(right)) return false;
  switch (op) {
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    case ">=":
      return left >= right;
    case "==":
      return left === right;
    case "!=":
      return left !== right;
  }
}

/**
 * A condition as text that `parseExpression` reads.
 *
 * @param hole a comparison in it whose number is written as `{}`
 */
export function expressionText(expression: Expression, hole?: Expression): string {
  const inner = (term: Expression): string => {
    const text = expressionText(term, hole);
    return term.kind === "and" || term.kind === "or" ? `(${text})` : text;
  };
  switch (expression.kind) {
    case "compare": {
      const text = (operand: Operand): string =>
        expression === hole && "value" in operand ? "{}" : "column" in operand ? operand.column : scalarText(operand.value);
      return `${text(expression.left)} ${expression.op} ${text(expression.right)}`;
    }
    case "in":
      return `${"column" in expression.left ? expression.left.column : scalarText(expression.left.value)} in [${expression.list.map(scalarText).join(", ")}]`;
    case "and":
    case "or":
      return expression.terms.map(inner).join(` ${expression.kind} `);
    case "not":
      return `not ${inner(expression.term)}`;
  }
}

/** A text has no sign to escape a quote. */
const scalarText = (value: Scalar): string =>
  typeof value === "number" ? String(value) : value.includes('"') ? `'${value}'` : `"${value}"`;
