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

/** Whether a condition holds. A comparison with a value that is missing (NaN) does not hold. */
export function holds(expression: Expression, valueOf: (column: string) => Scalar): boolean {
  switch (expression.kind) {
    case "compare":
      return compare(valueOfOperand(expression.left, valueOf), expression.op, valueOfOperand(expression.right, valueOf));
    case "in":
      return expression.list.includes(valueOfOperand(expression.left, valueOf));
    case "and":
      return expression.terms.every((term) => holds(term, valueOf));
    case "or":
      return expression.terms.some((term) => holds(term, valueOf));
    case "not":
      return !holds(expression.term, valueOf);
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
