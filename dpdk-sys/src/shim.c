#include "shim.h"

#include <stdio.h>
#include <string.h>

int dpukv_errno(void)
{
	return rte_errno;
}

int dpukv_eth_info(uint16_t port, struct dpukv_eth_info *info)
{
	struct rte_eth_dev_info found = {0};
	int error = rte_eth_dev_info_get(port, &found);

	if (error != 0)
		return error;
	snprintf(info->driver, sizeof(info->driver), "%s", found.driver_name != NULL ? found.driver_name : "");
	info->rx_offloads = found.rx_offload_capa;
	info->tx_offloads = found.tx_offload_capa;
	info->rss_kinds = found.flow_type_rss_offloads;
	info->mtu_max = found.max_mtu;
	info->rx_queue_max = found.max_rx_queues;
	info->tx_queue_max = found.max_tx_queues;
	info->node = rte_eth_dev_socket_id(port);
	return 0;
}

int dpukv_eth_configure(uint16_t port, const struct dpukv_eth_setup *setup)
{
	struct rte_eth_conf conf = {0};

	conf.rxmode.mtu = setup->mtu;
	conf.rxmode.offloads = setup->rx_offloads;
	conf.txmode.offloads = setup->tx_offloads;
	conf.intr_conf.rxq = setup->rx_interrupts;
	if (setup->rss_kinds != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = setup->rss_kinds;
	}
	return rte_eth_dev_configure(port, setup->rx_queue_count, setup->tx_queue_count, &conf);
}

struct rte_flow *dpukv_flow_steer(uint16_t port, uint16_t udp_port, uint16_t queue, const char **reason)
{
	const struct rte_flow_attr attributes = {.ingress = 1};
	const struct rte_flow_item_udp spec = {.hdr.dst_port = rte_cpu_to_be_16(udp_port)};
	const struct rte_flow_item_udp mask = {.hdr.dst_port = UINT16_MAX};
	const struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH},
		{.type = RTE_FLOW_ITEM_TYPE_IPV4},
		{.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &spec, .mask = &mask},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	const struct rte_flow_action_queue to = {.index = queue};
	const struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to},
		{.type = RTE_FLOW_ACTION_TYPE_END},
	};
	struct rte_flow_error error = {0};
	struct rte_flow *rule = NULL;

	if (rte_flow_validate(port, &attributes, pattern, actions, &error) == 0)
		rule = rte_flow_create(port, &attributes, pattern, actions, &error);
	*reason = error.message;
	return rule;
}

uint16_t dpukv_eth_receive(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, struct dpukv_mbuf_view *views,
			   uint16_t count)
{
	uint16_t received = rte_eth_rx_burst(port, queue, mbufs, count);

	for (uint16_t i = 0; i < received; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], const void *));
	for (uint16_t i = 0; i < received; i++)
		dpukv_mbuf_view(mbufs[i], &views[i]);
	return received;
}

uint16_t dpukv_eth_transmit(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, const struct dpukv_finish *finishes,
			    uint16_t count)
{
	for (uint16_t i = 0; i < count; i++)
		dpukv_mbuf_finish(mbufs[i], &finishes[i]);
	return rte_eth_tx_burst(port, queue, mbufs, count);
}

int dpukv_eth_link(uint16_t port, struct dpukv_link *link)
{
	struct rte_eth_link found = {0};
	int error = rte_eth_link_get_nowait(port, &found);

	link->speed_mbps = found.link_speed;
	link->is_up = found.link_status == RTE_ETH_LINK_UP;
	link->is_full_duplex = found.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	return error;
}

struct rte_mbuf *dpukv_mbuf_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

int dpukv_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, struct dpukv_mbuf_view *views,
			  unsigned int count)
{
	int error = rte_pktmbuf_alloc_bulk(pool, mbufs, count);

	if (error != 0)
		return error;
	for (unsigned int i = 0; i < count; i++)
		dpukv_mbuf_view(mbufs[i], &views[i]);
	return 0;
}

void dpukv_mbuf_free(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
}

void dpukv_mbuf_view(const struct rte_mbuf *mbuf, struct dpukv_mbuf_view *view)
{
	const uint64_t good = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	const uint64_t mask = RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK;

	view->data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	view->room = (uint32_t)mbuf->data_len + rte_pktmbuf_tailroom(mbuf);
	view->len = rte_pktmbuf_pkt_len(mbuf);
	view->segment_count = mbuf->nb_segs;
	view->is_own = RTE_MBUF_DIRECT(mbuf) && rte_mbuf_refcnt_read(mbuf) == 1;
	view->is_verified = (mbuf->ol_flags & mask) == good;
}

uint32_t dpukv_mbuf_copy_out(const struct rte_mbuf *mbuf, uint8_t *to, uint32_t len)
{
	uint32_t copied = 0;

	for (; mbuf != NULL && copied < len; mbuf = mbuf->next) {
		uint32_t part = RTE_MIN((uint32_t)mbuf->data_len, len - copied);

		memcpy(to + copied, rte_pktmbuf_mtod(mbuf, const uint8_t *), part);
		copied += part;
	}
	return copied;
}

void dpukv_mbuf_finish(struct rte_mbuf *mbuf, const struct dpukv_finish *finish)
{
	mbuf->data_len = finish->len;
	mbuf->pkt_len = finish->len;
	mbuf->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	mbuf->tx_offload = 0;
	mbuf->vlan_tci = 0;
	if (finish->with_ipv4_checksum) {
		mbuf->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
		mbuf->l2_len = sizeof(struct rte_ether_hdr);
		mbuf->l3_len = sizeof(struct rte_ipv4_hdr);
	}
}

void dpukv_mbuf_set_len(struct rte_mbuf *mbuf, uint16_t len)
{
	mbuf->data_len = len;
	mbuf->pkt_len = len;
}

int dpukv_mbuf_chain(struct rte_mbuf *head, struct rte_mbuf *tail)
{
	return rte_pktmbuf_chain(head, tail);
}

uint32_t dpukv_ring_enqueue(struct rte_ring *ring, struct rte_mbuf **mbufs, uint32_t count)
{
	return rte_ring_enqueue_burst(ring, (void *const *)mbufs, count, NULL);
}

uint32_t dpukv_ring_dequeue(struct rte_ring *ring, struct rte_mbuf **mbufs, uint32_t count)
{
	return rte_ring_dequeue_burst(ring, (void **)mbufs, count, NULL);
}
