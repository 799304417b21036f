#include "shim.h"

int dpukv_errno(void)
{
	return rte_errno;
}

uint16_t dpukv_eth_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

uint16_t dpukv_eth_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
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

void dpukv_mbuf_finish(struct rte_mbuf *mbuf, uint16_t len, bool with_ipv4_checksum)
{
	mbuf->data_len = len;
	mbuf->pkt_len = len;
	mbuf->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	mbuf->tx_offload = 0;
	mbuf->vlan_tci = 0;
	if (with_ipv4_checksum) {
		mbuf->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
		mbuf->l2_len = sizeof(struct rte_ether_hdr);
		mbuf->l3_len = sizeof(struct rte_ipv4_hdr);
	}
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
