import { type Cotangent, vjp } from "@lapidary/compiler";
import type { GraphBuilder, Value } from "@lapidary/ir";
import { countedLoss, type Model, meanLoss, type ParamValues, tokenLosses } from "@lapidary/models";
import { assert, ensure } from "@lapidary/std";

/** The pieces of the sequence in which a loss over logits is computed. */
export interface LossChunks {
  readonly count: number;
  /** Parts of the sequence of a hidden state, on different chips. Each piece takes an equal share of every part, so that no chip waits. */
  readonly seqParts: number;
}

/** The final hidden states of a batch, and what they should predict. */
export interface LossInputs {
  readonly weights: ParamValues;
  /** f32[B, T, D] */
  readonly hidden: Value;
  /** i32[B, T] */
  readonly targets: Value;
  /** f32[B, T] */
  readonly mask: Value;
  /** The targets that count in the whole batch, if the inputs are a part of it. The loss is then the share of the part. */
  readonly total?: Value | undefined;
}

/** A loss that is a scalar, and derivatives of it from which the backward pass begins. */
export interface Objective {
  readonly loss: Value;
  /** Targets that count. */
  readonly count: Value;
  /** Absent: the backward pass begins at the loss. */
  readonly known?: readonly Cotangent[];
  /** Appends the logits of the whole sequence f32[B, T, V], for a comparison. */
  readonly logits: () => Value;
}

/**
 * The mean loss over the targets that count, in pieces of the sequence. The derivatives of a piece follow its losses directly, so that
 * the logits of only one piece, and their gradients, are in memory:
 *
 *     hidden ─► piece 0: logits ─► losses ─► d logits ─► d hidden, d weight
 *               piece 1:                      …              │         + ─► d weight
 *                                                        concatenate ─► backward pass of the blocks
 *
 * This is possible because the divisor, the number of counted targets, depends only on the mask. The partial sums of the weight's gradient
 * are added before they are reduced. Everything belongs to the forward pass, which computes it, so that a gathered weight is gathered once.
 *
 * @param trained the arrays that the step trains
 */
function chunkedLoss(g: GraphBuilder, model: Model, inputs: LossInputs, chunks: LossChunks, trained: readonly Value[]): Objective {
  const { weights, hidden, mask, total } = inputs;
  const count = total ?? g.named("tokens_counted", g.reduce(mask, [0, 1], "sum"));
  const divisor = g.maximum(count, g.scalar(1));
  const share = g.named("loss_share", g.divide(g.scalar(1), divisor));
  const [sums, logitsOfPieces]: [Value[], Value[]] = [[], []];
  const ofHidden: Value[] = [];
  const ofTrained = trained.map((): Value | undefined => undefined);
  for (const [i, piece] of piecesOf(g, inputs, chunks))
    g.chunk("loss", i, () => {
      const logits = model.unembed(g, weights, piece.hidden);
      logitsOfPieces.push(logits);
      const { sum } = countedLoss(g, tokenLosses(g, logits, piece.targets), piece.mask);
      sums.push(sum);
      const [own, ...others] = vjp(g, [{ value: g.get(sum.id), cotangent: share }], [piece.hidden, ...trained]);
      ofHidden.push(ensure(own, "gradient of the hidden state"));
      others.forEach((gradient, at) => {
        const before = ofTrained[at];
        if (gradient !== undefined) ofTrained[at] = before === undefined ? gradient : g.named("weight_gradient", g.add(before, gradient));
      });
    });
  const loss = g.named(
    "loss",
    g.divide(
      sums.reduce((a, b) => g.add(a, b)),
      divisor,
    ),
  );
  const gradient = g.inPhase("backward", () => g.named(`grad(${hidden.name})`, joinPieces(g, ofHidden, chunks, hidden.type.dims[1] ?? 0)));
  return {
    loss,
    count,
    known: [
      { value: hidden, cotangent: gradient },
      ...trained.flatMap((value, i): Cotangent[] => {
        const cotangent = ofTrained[i];
        return cotangent === undefined ? [] : [{ value, cotangent }];
      }),
    ],
    logits: () => joinPieces(g, logitsOfPieces, chunks, hidden.type.dims[1] ?? 0),
  };
}

/** The mean loss of a step, in pieces if there are chunks. */
export function stepLoss(
  g: GraphBuilder,
  model: Model,
  inputs: LossInputs,
  { chunks, trained }: { readonly chunks: LossChunks | undefined; readonly trained: readonly Value[] },
): Objective {
  if (chunks !== undefined && chunks.count > 1) return chunkedLoss(g, model, inputs, chunks, trained);
  const logits = model.unembed(g, inputs.weights, inputs.hidden);
  return { ...meanLoss(g, tokenLosses(g, logits, inputs.targets), inputs.mask, inputs.total), logits: () => logits };
}

/** The sum of the losses of the targets that count, and their number, for an evaluation. */
export function evalLoss(g: GraphBuilder, model: Model, inputs: LossInputs, chunks?: LossChunks): { sum: Value; count: Value } {
  const losses = (hidden: Value, targets: Value): Value => tokenLosses(g, model.unembed(g, inputs.weights, hidden), targets);
  if (chunks === undefined || chunks.count === 1) return countedLoss(g, losses(inputs.hidden, inputs.targets), inputs.mask);
  const sums = [...piecesOf(g, inputs, chunks)].map(([i, { hidden, targets, mask }]) =>
    g.chunk("loss", i, () => g.reduce(g.multiply(losses(hidden, targets), mask), [0, 1], "sum")),
  );
  return { sum: sums.reduce((a, b) => g.add(a, b)), count: g.named("tokens_counted", g.reduce(inputs.mask, [0, 1], "sum")) };
}

/** Appends one piece after the other, when the caller asks for it. */
function* piecesOf(
  g: GraphBuilder,
  { hidden, targets, mask }: LossInputs,
  chunks: LossChunks,
): Generator<[number, Omit<LossInputs, "weights" | "total">]> {
  for (let i = 0; i < chunks.count; i++)
    yield [
      i,
      g.chunk("loss", i, () => ({
        hidden: g.named("hidden", pieceOf(g, hidden, i, chunks)),
        targets: pieceOf(g, targets, i, chunks),
        mask: pieceOf(g, mask, i, chunks),
      })),
    ];
}

/** Piece `i` of [B, T, …]: of each of the parts of T the same share. Sizes of pieces differ by at most one position of a part. */
function pieceOf(g: GraphBuilder, x: Value, i: number, { count, seqParts }: LossChunks): Value {
  const [B = 0, T = 0, ...rest] = x.type.dims;
  const length = T / seqParts;
  assert(Number.isInteger(length) && count <= length, "a piece has a position of every part", T, seqParts, count);
  const [from, to] = [i, i + 1].map((at) => Math.floor((at * length) / count)) as [number, number];
  const zeros = rest.map(() => 0);
  if (seqParts === 1) return g.slice(x, [0, from, ...zeros], [B, to, ...rest]);
  const parts = g.reshape(x, [B, seqParts, length, ...rest]);
  return g.reshape(g.slice(parts, [0, 0, from, ...zeros], [B, seqParts, to, ...rest]), [B, seqParts * (to - from), ...rest]);
}

/** The array [B, T, …] of which `pieces` are the pieces. */
function joinPieces(g: GraphBuilder, pieces: readonly Value[], { seqParts }: LossChunks, T: number): Value {
  if (seqParts === 1) return g.concatenate(pieces, 1);
  const parts = pieces.map((piece) => {
    const [B = 0, size = 0, ...rest] = piece.type.dims;
    return g.reshape(piece, [B, seqParts, size / seqParts, ...rest]);
  });
  const [B = 0, , , ...rest] = ensure(parts[0], "piece").type.dims;
  return g.reshape(g.concatenate(parts, 2), [B, T, ...rest]);
}
