import { chmod, lstat, mkdir, stat, unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'

/** What may be asked of a running process. Each returns a value that becomes JSON. */
export interface ControlActs {
  readonly status: () => unknown
  readonly reload: (body: Readonly<Record<string, unknown>>) => Promise<unknown>
  readonly rollback: (body: Readonly<Record<string, unknown>>) => Promise<unknown>
  readonly drain: () => Promise<unknown>
  readonly credentials: (body: Readonly<Record<string, unknown>>) => Promise<unknown>
  /** Adds to the deny list, shows it, takes from it. */
  readonly deny: (body: Readonly<Record<string, unknown>>) => Promise<unknown>
}

export interface ControlSocket {
  close(): Promise<void>
}

const maxBody = 64 * 1024

/** Longest path of a UNIX socket on Linux, with its ending zero. */
const maxPath = 107

/** The control socket `<state>/control.sock`: this user only. There is no administration over TCP (contract 8). */
export const listenControl = async (state: string, acts: ControlActs): Promise<ControlSocket> => {
  const path = join(state, 'control.sock')
  if (Buffer.byteLength(path) > maxPath)
    throw new Error(`${path} is longer than a socket path may be (${maxPath} bytes); write a shorter "state:".`)
  await mkdir(state, { recursive: true, mode: 0o700 })
  const { uid, mode } = await stat(state)
  if ((mode & 0o022) !== 0 || uid !== process.getuid?.())
    throw new Error(`${state} can be changed by others; chmod 700 it, and let it belong to the user that Postern runs as.`)
  if (await answers(path)) throw new Error(`another Postern answers on ${path}; give each its own "state:".`)
  if ((await lstat(path).catch(() => null))?.isSocket()) await unlink(path)
  const server = createServer(async (req, res) => {
    const name = (req.url ?? '/').slice(1)
    const act = Object.hasOwn(acts, name) ? acts[name as keyof ControlActs] : undefined
    try {
      const result = act && req.method === 'POST' ? await act(await readBody(req)) : { error: `unknown: ${name}` }
      res.writeHead(act ? 200 : 404, { 'content-type': 'application/json' })
      res.end(`${JSON.stringify(result)}\n`)
    } catch (fault) {
      res.writeHead(500, { 'content-type': 'application/json' })
      res.end(`${JSON.stringify({ error: fault instanceof Error ? fault.message : String(fault) })}\n`)
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  await chmod(path, 0o600)
  return {
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const answers = (path: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(path)
    const done = (alive: boolean): void => {
      socket.destroy()
      resolve(alive)
    }
    socket.once('connect', () => done(true))
    socket.once('error', () => done(false))
  })

const readBody = async (req: IncomingMessage): Promise<Readonly<Record<string, unknown>>> => {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBody) throw new Error('the request is too large')
    chunks.push(chunk)
  }
  const value: unknown = size === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString('utf8'))
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/** Asks a running process; rejects with a message for people where none answers. */
export const askControl = (state: string, act: keyof ControlActs, body: object, timeoutMs: number): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const socketPath = join(state, 'control.sock')
    const req = request(
      { socketPath, path: `/${act}`, method: 'POST', timeout: timeoutMs, headers: { 'content-type': 'application/json' } },
      res => {
        const chunks: Buffer[] = []
        res.on('data', (chunk: Buffer) => chunks.push(chunk))
        res.on('end', () => {
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')))
          } catch {
            reject(new Error('the process gave an answer that is not JSON'))
          }
        })
      },
    )
    req.on('timeout', () => req.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
    req.on('error', fault =>
      reject(new Error(`no Postern answers on ${socketPath} (${fault.message}). Is it running, with this state folder?`)),
    )
    req.end(JSON.stringify(body))
  })
