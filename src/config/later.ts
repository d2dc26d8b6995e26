import { type Bad, bad, type Shape } from './shape.ts'
import type { Steps } from './steps.ts'

/** A value that is read when its turn comes. */
export interface Held<T> {
  value: T | Bad
}

/** Parts of a file that are read one by one after the rest: thousands of them in one go would hold everybody up. */
export class Later {
  readonly #tasks: (() => void)[] = []

  part<T>(shape: Shape<T>): Shape<Held<T>> {
    return {
      schema: shape.schema,
      read: (node, at) => {
        const held: Held<T> = { value: bad }
        this.#tasks.push(() => {
          held.value = shape.read(node, at)
        })
        return held
      },
    }
  }

  /** Reads all parts, in the order of the file. */
  *read(): Steps<void> {
    for (const task of this.#tasks) {
      task()
      yield
    }
  }
}
