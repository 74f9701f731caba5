import type { Offset } from "./events.js";

/** Give the later of two offsets; of two epochs the second, which is the one that was heard later. */
export function later(a: Offset | undefined, b: Offset | undefined): Offset | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const [epochA, seqA] = split(a);
  const [epochB, seqB] = split(b);
  return epochA === epochB && seqA > seqB ? a : b;
}

/** 16 digits: exact as a number. */
function split(offset: Offset): [epoch: string, seq: number] {
  const at = offset.lastIndexOf("-");
  return [offset.slice(0, at), Number(offset.slice(at + 1))];
}
