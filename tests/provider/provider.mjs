// A certified OpenID provider (oidc-provider) on a free port, for stories. Whoever is asked to sign in is ana, or
// whom the `login_hint` names; there is no password.
//
//   node provider.mjs '{"gateway": "http://127.0.0.1:6480", "port": 0, "keys": [2, 1], "lifetime": 3600}'
//
// Says its issuer on stdout. The first of the keys signs, all are shown.
import crypto from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import Provider from 'oidc-provider';

const { gateway, port = 0, keys = [1], lifetime = 3600 } = JSON.parse(process.argv[2]);

// The same number gives the same key, so that a provider that starts again can keep an old one.
function key(number) {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const seed = crypto.createHash('sha256').update(`a key for stories ${number}`).digest();
  const own = crypto.createPrivateKey({ key: Buffer.concat([prefix, seed]), format: 'der', type: 'pkcs8' });
  return { ...own.export({ format: 'jwk' }), kid: `key-${number}`, use: 'sig', alg: 'EdDSA' };
}

// A form of the provider's, with the button that a person presses.
function page(ctx, form, says, button = '') {
  ctx.body = form ? form.replace('</form>', `<button type="submit" ${button}>${says}</button></form>`) : says;
}

const server = http.createServer();
server.listen(port, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  jwks: { keys: keys.map(key) },
  clients: [
    {
      client_id: 'countersign',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      redirect_uris: ['http://127.0.0.1/callback'],
      id_token_signed_response_alg: 'EdDSA',
      backchannel_logout_uri: `${gateway}/signout/backchannel`,
      backchannel_logout_session_required: true,
    },
    {
      client_id: 'countersign-asks',
      client_secret: "it's a s%cret",
      grant_types: [],
      response_types: [],
      redirect_uris: [],
      id_token_signed_response_alg: 'EdDSA',
    },
  ],
  enabledJWA: { idTokenSigningAlgValues: ['EdDSA'] },
  scopes: ['openid', 'offline_access', 'email', 'groups'],
  // It calls nobody on this machine by itself; here everybody is.
  fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
  claims: { openid: ['sub', 'sid'], email: ['email', 'email_verified'], groups: ['groups'] },
  conformIdTokenClaims: false,
  ttl: { IdToken: lifetime, AccessToken: lifetime, RefreshToken: 86400, Session: 86400, Grant: 86400, DeviceCode: 600, Interaction: 600 },
  cookies: { keys: ['stories'] },
  pkce: { required: () => true },
  issueRefreshToken: (ctx, client, code) => code.scopes.has('offline_access'),
  expiresWithSession: () => false,
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@acme.dev`, email_verified: true, groups: ['engineering'] }),
  }),
  loadExistingGrant: async (ctx) => {
    const { client, session, params } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope);
    await grant.save();
    return grant;
  },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    deviceFlow: {
      enabled: true,
      userCodeInputSource: (ctx, form) => page(ctx, form, 'Continue'),
      userCodeConfirmSource: (ctx, form) => page(ctx, form, 'Continue'),
      successSource: (ctx) => page(ctx, '', 'Signed in'),
    },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => page(ctx, form, 'Sign out', 'name="logout" value="yes"'),
      postLogoutSuccessSource: (ctx) => page(ctx, '', 'Signed out'),
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
});

// Where an ID token is asked about, as some providers take it, the access token of the same sign-in answers.
const access = new Map();
provider.on('grant.success', (ctx) => access.set(ctx.body.id_token, ctx.body.access_token));
provider.on('backchannel.error', (ctx, error) => console.error('logout not taken', error.cause ?? error));
provider.on('server_error', (ctx, error) => console.error(error));

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/interaction/')) {
    const details = await provider.interactionDetails(ctx.req, ctx.res);
    const accountId = (details.params.login_hint ?? 'ana@acme.dev').split('@')[0];
    // Whoever is signed in has agreed.
    const result = details.prompt.name === 'login' ? { login: { accountId } } : { consent: {} };
    return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
  }
  if (ctx.path === '/token/introspection') {
    let body = '';
    for await (const chunk of ctx.req) body += chunk;
    const form = Object.fromEntries(new URLSearchParams(body));
    ctx.req.body = { ...form, token: access.get(form.token) ?? form.token };
  }
  return next();
});

server.on('request', provider.callback());
console.log(issuer);
