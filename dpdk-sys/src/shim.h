/* What Rust cannot call of DPDK: functions that exist as text in headers only, and macros. Each function here is one
 * such function under the prefix dpukv_, or reads or writes fields of a structure whose layout differs between releases.
 */
#ifndef DPUKV_DPDK_SHIM_H
#define DPUKV_DPDK_SHIM_H

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_version.h>

/* Macros with casts in them, which are no constants to bindgen. */
static const uint64_t DPUKV_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPUKV_RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t DPUKV_RX_OFFLOAD_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t DPUKV_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPUKV_TX_OFFLOAD_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t DPUKV_RSS_UDP = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP;
static const unsigned int DPUKV_RING_MANY_TO_ONE = RING_F_SC_DEQ;
static const uint32_t DPUKV_HEADROOM = RTE_PKTMBUF_HEADROOM;
static const uint32_t DPUKV_NAME_LEN_MAX = RTE_ETH_NAME_MAX_LEN;

/* What there is to know of a packet before it is touched. */
struct dpukv_mbuf_view {
	/* The first byte of the first segment. */
	uint8_t *data;
	/* Bytes from there to the end of the segment's buffer. */
	uint32_t room;
	/* Bytes of the whole packet. */
	uint32_t len;
	/* Segments; 1 for a packet in one piece. */
	uint16_t segment_count;
	/* Whether nobody else refers to the buffer. */
	bool is_own;
	/* Whether the device found both the IPv4 header checksum and the UDP checksum right. */
	bool is_verified;
};

/* What a packet is to be when it leaves. */
struct dpukv_finish {
	uint16_t len;
	/* Whether the device writes the IPv4 header checksum. */
	bool with_ipv4_checksum;
};

struct dpukv_link {
	/* Mb/s; UINT32_MAX when it is not known. */
	uint32_t speed_mbps;
	bool is_up;
	bool is_full_duplex;
};

int dpukv_errno(void);

/* What a device offers. */
struct dpukv_eth_info {
	char driver[32];
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	/* Kinds of packets over which it spreads by a hash, in DPDK's bits. */
	uint64_t rss_kinds;
	uint32_t mtu_max;
	uint16_t rx_queue_max;
	uint16_t tx_queue_max;
	/* The memory node that it is at; -1 for any. */
	int node;
};

/* How a device is to be. */
struct dpukv_eth_setup {
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	/* 0: no spreading by a hash. */
	uint64_t rss_kinds;
	uint16_t rx_queue_count;
	uint16_t tx_queue_count;
	/* 0: the device's usual one. */
	uint16_t mtu;
	/* Whether each receive queue is to have an interrupt, which is off until it is enabled. */
	bool rx_interrupts;
};

/* 0, or a negative errno. */
int dpukv_eth_info(uint16_t port, struct dpukv_eth_info *info);
int dpukv_eth_configure(uint16_t port, const struct dpukv_eth_setup *setup);

/* Sends packets to a UDP port over IPv4 to a queue: first asks whether the device would, then tells it to. NULL, with
 * the driver's reason, which lives as long as the driver, or NULL as the reason.
 */
struct rte_flow *dpukv_flow_steer(uint16_t port, uint16_t udp_port, uint16_t queue, const char **reason);

/* Takes up to count packets from a queue, and says what there is to know of each. */
uint16_t dpukv_eth_receive(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, struct dpukv_mbuf_view *views,
			   uint16_t count);
/* Gives packets in one piece their lengths and hands them to a queue from the first on; returns how many it took. */
uint16_t dpukv_eth_transmit(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, const struct dpukv_finish *finishes,
			    uint16_t count);
/* 0, or the error of rte_eth_link_get_nowait. */
int dpukv_eth_link(uint16_t port, struct dpukv_link *link);

struct rte_mbuf *dpukv_mbuf_alloc(struct rte_mempool *pool);
/* All of count packets, with their views, or none; 0, or a negative errno. */
int dpukv_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, struct dpukv_mbuf_view *views,
			  unsigned int count);
/* Gives a packet back, all its segments. */
void dpukv_mbuf_free(struct rte_mbuf *mbuf);
void dpukv_mbuf_view(const struct rte_mbuf *mbuf, struct dpukv_mbuf_view *view);
/* Copies up to len bytes of a packet, over all its segments, to a place outside; returns how many. */
uint32_t dpukv_mbuf_copy_out(const struct rte_mbuf *mbuf, uint8_t *to, uint32_t len);
/* Makes a packet in one piece as it is to leave, and forgets what the device that it came from said of it. The header
 * whose checksum is written stands behind an untagged Ethernet header.
 */
void dpukv_mbuf_finish(struct rte_mbuf *mbuf, const struct dpukv_finish *finish);
/* Makes a packet in one piece len bytes long and leaves what is known of it. */
void dpukv_mbuf_set_len(struct rte_mbuf *mbuf, uint16_t len);
/* Puts the segments of tail behind those of head; 0, or -EOVERFLOW. */
int dpukv_mbuf_chain(struct rte_mbuf *head, struct rte_mbuf *tail);

/* Returns how many of the pointers went into the ring. */
uint32_t dpukv_ring_enqueue(struct rte_ring *ring, struct rte_mbuf **mbufs, uint32_t count);
/* Returns how many pointers came out of the ring. */
uint32_t dpukv_ring_dequeue(struct rte_ring *ring, struct rte_mbuf **mbufs, uint32_t count);

#endif
