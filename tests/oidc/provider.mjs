// A real OpenID Connect provider on a free port of this machine; it prints its issuer when it listens.
//
//   node provider.mjs FOLDER opaque|jwt
//
// FOLDER holds node_modules. Everybody may log in with any password, and is called what they log in as. Who is called
// "ada..." is entitled to something.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, tokens] = process.argv.slice(2);
const entry = createRequire(join(resolve(folder), 'any.js')).resolve('oidc-provider');
const { default: Provider } = await import(pathToFileURL(entry));

const AUDIENCE = 'urn:openeo';
const HOUR = 3600;

const entitlementsOf = (name) => (name.startsWith('ada')
  ? ['urn:mace:egi.eu:group:vo.openeo.cloud:role=early_adopter#aai.egi.eu'] : []);

const person = (name) => ({
  accountId: name,
  claims: async () => ({ sub: name, name: `${name} of loopback`, eduperson_entitlement: entitlementsOf(name) }),
});

const clients = [
  {
    client_id: 'openeo-public',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    response_types: ['code'],
    redirect_uris: ['http://localhost/callback', 'http://127.0.0.1/callback'],
  },
  ...['ada-robot', 'another-app'].map((id) => ({
    client_id: id,
    client_secret: 'secret-of-a-test',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  })),
];

const resources = {
  enabled: tokens === 'jwt',
  defaultResource: () => AUDIENCE,
  useGrantedResource: () => true,
  getResourceServerInfo: () => ({ scope: 'openid', audience: AUDIENCE, accessTokenFormat: 'jwt', accessTokenTTL: HOUR }),
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients,
    findAccount: (_, name) => person(name),
    claims: { openid: ['sub'], profile: ['name'], eduperson_entitlement: ['eduperson_entitlement'] },
    scopes: ['openid', 'offline_access', 'profile', 'eduperson_entitlement'],
    pkce: { required: () => true },
    cookies: { keys: ['loopback'] },
    extraTokenClaims: (_, token) => ({
      eduperson_entitlement: entitlementsOf(token.accountId ?? token.clientId),
    }),
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      resourceIndicators: resources,
    },
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: false,
    ttl: { AccessToken: HOUR, ClientCredentials: HOUR, DeviceCode: HOUR, Grant: HOUR, IdToken: HOUR, Interaction: HOUR, RefreshToken: HOUR, Session: HOUR },
  });
  if (tokens === 'opaque') {
    // Tokens of service accounts that the userinfo endpoint knows, as Keycloak has them: those built in are unknown there.
    provider.registerGrantType('client_credentials', async (ctx) => {
      const { client } = ctx.oidc;
      const owner = { accountId: client.clientId, clientId: client.clientId };
      const grant = new provider.Grant(owner);
      grant.addOIDCScope('openid profile eduperson_entitlement');
      const members = { ...owner, client, grantId: await grant.save(), gty: 'client_credentials' };
      const token = new provider.AccessToken({ ...members, scope: 'openid profile eduperson_entitlement' });
      ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: HOUR };
    }, ['scope']);
  }
  server.on('request', provider.callback());
  process.stdout.write(`${issuer}\n`);
});
