// Descriptors of operations, as proto/src/compute.rs defines them: words of 64 bits.

/** Words of the longest descriptor. */
export const WORDS = 25;

export const PRODUCT = 0;
export const ATTENTION = 1;
export type Kind = typeof PRODUCT | typeof ATTENTION;

/** Places of a product's words. */
export const P = { planes: 0, rows: 1, columns: 2, depth: 3, weight: 4, right: 9, out: 13, biasKind: 17, bias: 18, residual: 20 } as const;
/** Places of an attention's words. */
export const A = { heads: 0, queries: 1, keys: 2, width: 3, query: 5, key: 9, value: 13, mask: 17, out: 21 } as const;

/** A product's addend belongs to its columns, not to its rows. */
export const BIAS_OF_COLUMNS = 2;

/** A batch of matrices. */
export interface Matrix {
  address: number;
  /** Bytes from one row to the next. */
  row: number;
  /** Bytes from one plane to the next. */
  plane: number;
  /** Bytes of an element: 4, or 2 for half precision. */
  element: number;
}

/** Reads the matrix whose words begin at `at`; null where there is none. */
export function matrix(words: BigUint64Array, at: number): Matrix | null {
  const [address, row, plane, element] = Array.from(words.subarray(at, at + 4), Number) as [number, number, number, number];
  return address === 0 ? null : { address, row, plane, element: element === 0 ? 4 : 2 };
}

/** Writes where a matrix lies; its format stays. */
export function place(words: BigUint64Array, at: number, { address, row, plane }: Matrix): void {
  words[at] = BigInt(address);
  words[at + 1] = BigInt(row);
  words[at + 2] = BigInt(plane);
}
