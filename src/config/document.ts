import { bad, type Fields, type Provenance, type RecordOf, type Shape } from './shape.ts'
import type { Source } from './source.ts'

/** Reads a whole file by a shape. What is wrong is in `source.findings`. */
export const readDocument = <T>(source: Source, shape: Shape<T>): { readonly value: T | null; readonly provenance: Provenance } => {
  const provenance: Provenance = new Map()
  const value = source.root === null ? bad : shape.read(source.root, { source, path: '', provenance })
  return { value: value === bad || !source.ok ? null : value, provenance }
}

/** A whole section with its defaults, for a section that is left out. */
export const allDefaults = <F extends Fields>(shape: { readonly fields: F }): RecordOf<F> =>
  Object.fromEntries(Object.entries(shape.fields).map(([key, field]) => [key, field.initial])) as RecordOf<F>
