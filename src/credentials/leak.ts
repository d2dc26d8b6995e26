import type { Credential } from '../model/credential.ts'
import type { Answer, Body } from '../model/exchange.ts'
import { Refusal } from '../model/problem.ts'

/** Bytes of a reply that are looked at: where a debug page or an echo shows what it was given. */
const looked = 1024

/** Looks for one credential's password in what a backend answers. */
export interface LeakGuard {
  /** The answer, watched; or PST5007 where the password stands in what has come already. `alarm` is told once, then or later. */
  inspect(answer: Answer, alarm: () => void): Answer | Refusal
}

/** Finds the password as it is and in base64, at any alignment: `Authorization: Basic` and JSON dumps show it so. */
export const createLeakGuards = (): ((credential: Credential) => LeakGuard) => {
  const guards = new WeakMap<Credential, LeakGuard>()
  return credential => {
    const known = guards.get(credential)
    if (known !== undefined) return known
    const guard = guardFor(credential)
    guards.set(credential, guard)
    return guard
  }
}

/** A password that something else chose may be so short that it stands in any text; such a one cannot be looked for. */
const shortest = 12

const guardFor = ({ password, role }: Credential): LeakGuard => {
  const secret = password.open()
  if (secret.length < shortest) return { inspect: answer => answer }
  const needles = needlesOf(secret)
  const isIn = (text: string): boolean => needles.some(needle => text.includes(needle))
  const longest = Math.max(...needles.map(needle => needle.length))
  return {
    inspect(answer, alarm) {
      const { headers, body } = answer
      const refused = (): Refusal => {
        alarm()
        return new Refusal('PST5007', role)
      }
      const { whole } = body
      if (headers.some(isIn) || (whole !== null && isIn(whole.toString('latin1', 0, looked)))) {
        body.cancel()
        return refused()
      }
      return whole === null ? { ...answer, body: watched(body, isIn, longest, refused) } : answer
    },
  }
}

/** Up to two characters at either end of a base64 text depend on its neighbours; what is between does not. */
const needlesOf = (secret: string): readonly string[] => {
  const plain = Buffer.from(secret)
  const coded = [0, 1, 2].map(before => {
    const text = Buffer.concat([Buffer.alloc(before), plain])
      .toString('base64')
      .replaceAll('=', '')
    return text.slice(before === 0 ? 0 : before + 1, text.length - ((before + plain.length) % 3 === 0 ? 0 : 1))
  })
  return [...new Set([secret, ...coded.flatMap(text => [text, text.replaceAll('+', '-').replaceAll('/', '_')])])]
}

/**
 * A body that has not come yet: nothing is held back from a client that waits for a stream's first event, so what the first pieces show ends the
 * reply with a reset.
 */
const watched = (body: Body, isIn: (text: string) => boolean, longest: number, refused: () => Refusal): Body => {
  let seen = 0
  let tail = ''
  let failed = false
  /** True while there is nothing to see. */
  const pass = (chunk: Buffer): boolean => {
    if (seen >= looked) return true
    const fresh = chunk.toString('latin1', 0, looked - seen)
    seen += fresh.length
    const window = tail + fresh
    tail = window.slice(-longest)
    return !isIn(window)
  }
  return {
    whole: null,
    open: sink =>
      body.open({
        write(chunk) {
          if (failed) return false
          if (pass(chunk)) return sink.write(chunk)
          failed = true
          body.cancel()
          sink.fail(refused())
          return false
        },
        end: () => !failed && sink.end(),
        fail: why => !failed && sink.fail(why),
      }),
    resume: () => body.resume(),
    cancel: () => body.cancel(),
  }
}
