import { type RequestOptions, request } from 'node:http'
import { watchFile } from '../credentials/watch.ts'
import { systemClock } from '../deps.ts'
import { type Login, readLogin } from './login.ts'

/** Logins that a backend fetches itself, always the newest. */
export interface LoginSource {
  /** The newest; waits for the first one. */
  current(): Promise<Login>
  close(): void
}

/** Of delivery `file`: follows the JSON file that Postern replaces. A file that is gone or broken changes nothing. */
export const fromFile = (file: string): LoginSource => {
  const held = new Held()
  const take = (bytes: Buffer | null): void => {
    try {
      if (bytes !== null) held.set(readLogin(JSON.parse(bytes.toString('utf8'))))
    } catch {
      // Half of a file cannot be: Postern renames. Something else wrote here; the next change is looked at again.
    }
  }
  const watched = watchFile(file, systemClock, take)
  void watched.read().then(take)
  return { current: () => held.get(), close: () => watched.close() }
}

export interface EndpointOptions {
  /** `credentials.endpoint.listen` of Postern. */
  readonly address: { readonly socketPath: string } | { readonly host: string; readonly port: number }
  /** The secret of the token file. */
  readonly token: string
  readonly role: string
}

/** An answer comes within the wait, or the connection is dead. */
const waitSeconds = 30
const answerMs = (waitSeconds + 10) * 1000
const [firstPause, longestPause] = [250, 10_000]
const mostBytes = 64 * 1024

/** Of delivery `endpoint`: one request that waits for the next generation, again and again. While Postern does not answer, the last login stays. */
export const fromEndpoint = (options: EndpointOptions): LoginSource => {
  const held = new Held()
  const stop = new AbortController()
  const follow = async (): Promise<void> => {
    for (let pause = firstPause; !stop.signal.aborted; ) {
      try {
        const login = await ask(options, held.generation, stop.signal)
        if (login !== null) held.set(login)
        pause = firstPause
      } catch {
        await new Promise<void>(resolve => {
          const timer = systemClock.after(pause, resolve)
          stop.signal.addEventListener('abort', () => {
            timer.cancel()
            resolve()
          })
        })
        pause = Math.min(pause * 2, longestPause)
      }
    }
  }
  void follow()
  return { current: () => held.get(), close: () => stop.abort() }
}

class Held {
  #login: Login | null = null
  #first = Promise.withResolvers<Login>()

  get generation(): number {
    return this.#login?.generation ?? 0
  }

  get(): Promise<Login> {
    return this.#login === null ? this.#first.promise : Promise.resolve(this.#login)
  }

  set(login: Login): void {
    this.#login = login
    this.#first.resolve(login)
  }
}

/** Null: nothing newer within the wait. */
const ask = ({ address, token, role }: EndpointOptions, after: number, signal: AbortSignal): Promise<Login | null> =>
  new Promise((resolve, reject) => {
    const wait = after > 0 ? `?wait=${waitSeconds}s&after=${after}` : ''
    const to: RequestOptions = {
      ...address,
      path: `/v1/cassandra-credentials/${role}${wait}`,
      headers: { authorization: `Bearer ${token}`, 'x-postern-request': 'true' },
      timeout: answerMs,
      signal,
    }
    const req = request(to, res => {
      const chunks: Buffer[] = []
      let size = 0
      res.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > mostBytes) req.destroy(new Error('the answer is too large'))
        else chunks.push(chunk)
      })
      res.once('error', reject)
      res.once('end', () => {
        if (res.statusCode === 304) return resolve(null)
        if (res.statusCode !== 200) return reject(new Error(`Postern answered ${res.statusCode}`))
        try {
          resolve(readLogin(JSON.parse(Buffer.concat(chunks).toString('utf8'))))
        } catch (error) {
          reject(error)
        }
      })
    })
    req.once('timeout', () => req.destroy(new Error('no answer')))
    req.once('error', reject)
    req.end()
  })
