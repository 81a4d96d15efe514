/** A question about fixtures of training data, and how this system answers it. `judge.py` of the fixtures scores the answers. */
export interface JudgeTask {
  readonly name: string;
  /**
   * One object for each line of the file of answers.
   *
   * @param fixtures the directory of the fixtures; absolute
   */
  answers(fixtures: string): Iterable<object> | AsyncIterable<object>;
}
