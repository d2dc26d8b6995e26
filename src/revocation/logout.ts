import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

/** A logout token is at most 16 KiB, and percent-encoding triples little of it. */
const longestBody = 32 * 1024
/** Each may cost a signature check, and whoever reaches the listener may ask for one. */
const mostAtOnce = 32

export const logoutPath = '/backchannel-logout'

/** What to tell the provider: `done`, or the error of OpenID Connect Back-Channel Logout 1.0 section 2.8. */
export type LogoutAnswer = 'done' | 'invalid_request' | 'temporarily_unavailable'

/** The listener of back-channel logout. It says nothing about why: the log and the audit do. */
export const createLogoutServer = (accept: (logoutToken: string) => Promise<LogoutAnswer>): Server => {
  let open = 0
  return createServer({ headersTimeout: 5_000, requestTimeout: 10_000, maxHeaderSize: 8192 }, (request, response) => {
    const [path] = (request.url ?? '').split('?', 1)
    if (path !== logoutPath) return send(response, 404, null)
    if (request.method !== 'POST') return send(response, 405, null)
    if (open >= mostAtOnce) return send(response, 503, 'temporarily_unavailable')
    open++
    return void tokenOf(request)
      .then(token => (token === null ? 'invalid_request' : accept(token)))
      .then(
        answer => send(response, answer === 'done' ? 200 : 400, answer === 'done' ? null : answer),
        () => send(response, 400, 'temporarily_unavailable'),
      )
      .finally(() => open--)
  })
}

/** The one `logout_token` of the form, or null. */
const tokenOf = async (request: IncomingMessage): Promise<string | null> => {
  if (!/^application\/x-www-form-urlencoded *(;|$)/i.test(request.headers['content-type'] ?? '')) return null
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > longestBody) return null
    chunks.push(chunk)
  }
  const [token, ...more] = new URLSearchParams(Buffer.concat(chunks).toString('utf8')).getAll('logout_token')
  return token === undefined || more.length > 0 ? null : token
}

const send = (response: ServerResponse, status: number, error: string | null): void => {
  if (response.destroyed) return
  const body = error === null ? '' : `${JSON.stringify({ error })}\n`
  response.writeHead(status, {
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    ...(error === null ? {} : { 'content-type': 'application/json' }),
    ...(status === 405 ? { allow: 'POST' } : {}),
    ...(response.req.complete ? {} : { connection: 'close' }),
  })
  response.end(body)
}
