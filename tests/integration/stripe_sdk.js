// Drives a stand-in for Stripe with Stripe's own SDK: node stripe_sdk.js <request as JSON on stdin>.
// {"url", "key", "session", "subscription", "customer", "charge", "payload", "secrets"} -> what the SDK saw.
const {createRequire} = require('module');
const Stripe = createRequire(process.argv[2] + '/')('stripe');

async function main(asked) {
  const {hostname: host, port} = new URL(asked.url);
  const stripe = new Stripe(asked.key, {
    apiVersion: asked.version, host, port, protocol: 'http', maxNetworkRetries: 0, telemetry: false,
  });
  const session = await stripe.checkout.sessions.retrieve(asked.session, {expand: ['subscription.latest_invoice']});
  const subscription = await stripe.subscriptions.retrieve(asked.subscription, {expand: ['latest_invoice']});
  const listed = await stripe.subscriptions.list(
    {customer: asked.customer, status: 'all', expand: ['data.latest_invoice']});
  const charge = await stripe.charges.retrieve(asked.charge);
  const payments = await stripe.invoicePayments.list(
    {payment: {type: 'payment_intent', payment_intent: charge.payment_intent}, expand: ['data.invoice']});
  const missing = await stripe.subscriptions.retrieve('sub_nosuch').catch((error) => error);
  const wrong = await new Stripe('sk_test_wrong', {host, port, protocol: 'http', maxNetworkRetries: 0})
    .subscriptions.retrieve(asked.subscription).catch((error) => error);
  // The stand-in's own signature, and those of the SDK's generator.
  const event = stripe.webhooks.constructEvent(asked.payload, asked.header, asked.secrets[0]);
  return {
    session: {client: session.client_reference_id, subscription: session.subscription.id,
      invoice: session.subscription.latest_invoice.status},
    subscription: {status: subscription.status, price: subscription.items.data[0].price.id,
      end: subscription.items.data[0].current_period_end, invoice: subscription.latest_invoice.status},
    listed: listed.data.map((one) => one.id),
    charge: charge.refunded,
    payments: payments.data.map((one) => one.invoice.parent.subscription_details.subscription),
    missing: [missing.type, missing.code, missing.statusCode],
    wrong: [wrong.type, wrong.statusCode],
    event: [event.type, event.data.object.id],
    headers: asked.secrets.map((secret) =>
      stripe.webhooks.generateTestHeaderString({payload: asked.payload, secret})),
  };
}

let text = '';
process.stdin.on('data', (part) => { text += part; });
process.stdin.on('end', () => main(JSON.parse(text)).then(
  (seen) => process.stdout.write(JSON.stringify(seen)),
  (error) => { process.stderr.write(`${error.stack}\n`); process.exit(1); }));
