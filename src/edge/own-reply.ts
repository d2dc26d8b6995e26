import { type Origin, Outgoing } from '../model/exchange.ts'

/** JSON that Postern answers of itself. Nobody between may keep it. */
export const ownReply = ({ id, gatewayRequestId }: Origin, body: object): Outgoing => {
  const headers = ['content-type', 'application/json', 'cache-control', 'no-store', 'x-postern-request-id', id]
  if (gatewayRequestId !== null) headers.push('x-postern-gateway-request-id', gatewayRequestId)
  return new Outgoing(200, headers, JSON.stringify(body), false)
}
